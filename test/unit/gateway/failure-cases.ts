// Replies of a provider, each with the failure that it must become.
import type { ModelFailureKind } from '../../../src/protocol/model.ts';
import type { ScriptedReply } from '../../support/model-servers.ts';
import { testKey } from './harness.ts';

/** Each reply with the kind it must give, what its message must hold, and fields of the failure. */
export const failureCases: readonly [string, ScriptedReply, ModelFailureKind, RegExp, Record<string, unknown>?][] = [
  [
    '429 with seconds',
    { type: 'status', status: 429, headers: { 'retry-after': '7' }, body: error('slow down') },
    'rate_limited',
    /Testing Inc model model-1.*slow down/,
    { retryAfterMs: 7_000, status: 429 },
  ],
  [
    '429 with milliseconds',
    { type: 'status', status: 429, headers: { 'retry-after-ms': '250', 'retry-after': '1' } },
    'rate_limited',
    /rate/,
    { retryAfterMs: 250 },
  ],
  ['429 without', { type: 'status', status: 429 }, 'rate_limited', /429/, { retryAfterMs: 'none' }],
  [
    '429 with nonsense',
    { type: 'status', status: 429, headers: { 'retry-after': 'soon' } },
    'rate_limited',
    /429/,
    { retryAfterMs: 'none' },
  ],
  [
    '429 with a year',
    { type: 'status', status: 429, headers: { 'retry-after': '31536000' } },
    'rate_limited',
    /429/,
    { retryAfterMs: 3_600_000 },
  ],
  [
    '429 with a past date',
    { type: 'status', status: 429, headers: { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' } },
    'rate_limited',
    /429/,
    { retryAfterMs: 0 },
  ],
  [
    '429 for an empty account',
    { type: 'status', status: 429, body: error('You exceeded your current quota', { code: 'insufficient_quota' }) },
    'invalid_request',
    /quota/,
  ],
  [
    '401',
    { type: 'status', status: 401, body: error(`Incorrect API key provided: ${testKey}`) },
    'authentication',
    /OPENAI_API_KEY/,
    { status: 401 },
  ],
  ['403', { type: 'status', status: 403, body: error('no') }, 'authentication', /403/],
  [
    '400',
    { type: 'status', status: 400, body: error('temperature must be below 2.') },
    'invalid_request',
    /temperature must be below 2$/,
  ],
  ['404', { type: 'status', status: 404, body: error('no such model') }, 'invalid_request', /no such model/],
  [
    '422 in the words of FastAPI',
    { type: 'status', status: 422, body: { detail: [{ msg: 'field required' }] } },
    'invalid_request',
    /field required/,
  ],
  ['408', { type: 'status', status: 408 }, 'timeout', /408/],
  [
    '413',
    { type: 'status', status: 413, body: error('too big', { type: 'request_too_large' }) },
    'context_overflow',
    /window/,
  ],
  ['500', { type: 'status', status: 500, body: error('oh no', { type: 'api_error' }) }, 'overloaded', /oh no/],
  [
    '502 with a page',
    {
      type: 'status',
      status: 502,
      body: '<html><head><title>x</title></head><body><h1>502 Bad Gateway</h1></body></html>',
    },
    'overloaded',
    /^[^<>\n]*: 502 Bad Gateway$/,
  ],
  [
    '503 with a wait',
    { type: 'status', status: 503, headers: { 'retry-after': '2' } },
    'overloaded',
    /503/,
    { retryAfterMs: 2_000 },
  ],
  [
    '529',
    {
      type: 'status',
      status: 529,
      body: { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
    },
    'overloaded',
    /Overloaded/,
  ],
  ['a redirect', { type: 'status', status: 307, headers: { location: 'http://127.0.0.1:9/' } }, 'bad_response', /307/],
  [
    'overflow of OpenAI',
    {
      type: 'status',
      status: 400,
      body: error("This model's maximum context length is 128000 tokens.", {
        code: 'context_length_exceeded',
        type: 'invalid_request_error',
      }),
    },
    'context_overflow',
    /128000/,
  ],
  [
    'overflow of Anthropic',
    {
      type: 'status',
      status: 400,
      body: {
        type: 'error',
        error: { type: 'invalid_request_error', message: 'prompt is too long: 214567 tokens > 200000 maximum' },
      },
    },
    'context_overflow',
    /214567/,
  ],
  [
    'overflow of vLLM',
    {
      type: 'status',
      status: 400,
      body: {
        object: 'error',
        message: "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        type: 'BadRequestError',
        code: 400,
      },
    },
    'context_overflow',
    /5000/,
  ],
  [
    'overflow of Ollama',
    { type: 'status', status: 400, body: error('the input length exceeds the context length') },
    'context_overflow',
    /exceeds/,
  ],
  [
    'overflow of llama.cpp',
    {
      type: 'status',
      status: 400,
      body: error('the request exceeds the available context size, try increasing it', {
        code: 400,
        type: 'exceed_context_size_error',
      }),
    },
    'context_overflow',
    /exceeds/,
  ],
  [
    'an invalid request that speaks of context',
    { type: 'status', status: 400, body: error('context must be a string') },
    'invalid_request',
    /string/,
  ],
  [
    'a page with status 200',
    { type: 'raw', body: '<html>Welcome</html>', contentType: 'text/html' },
    'bad_response',
    /not an event stream/,
  ],
  [
    'broken JSON with status 200',
    { type: 'raw', body: '{"choi', contentType: 'application/json' },
    'bad_response',
    /not JSON/,
  ],
  [
    'another document',
    { type: 'raw', body: '{"hello": 1}', contentType: 'application/json' },
    'bad_response',
    /no answer/,
  ],
  [
    'an error document with status 200',
    {
      type: 'raw',
      body: '{"type":"error","error":{"type":"rate_limit_error","message":"later"}}',
      contentType: 'application/json',
    },
    'rate_limited',
    /later/,
  ],
  ['an event that is not JSON', { type: 'raw', body: 'data: {"a"\n\n' }, 'bad_response', /not JSON/],
  ['an empty body', { type: 'raw', body: '' }, 'cut_stream', /broke off/],
  [
    'an error inside the stream',
    {
      type: 'raw',
      body: 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
    },
    'overloaded',
    /Overloaded/,
  ],
  [
    'an error without a code inside the stream',
    { type: 'raw', body: 'data: {"type":"error","error":{"message":"upstream broke"}}\n\n' },
    'overloaded',
    /upstream broke/,
  ],
  [
    'an error with a status inside the stream',
    { type: 'raw', body: 'data: {"type":"error","error":{"message":"no credit","code":402}}\n\n' },
    'invalid_request',
    /no credit/,
    { status: 402 },
  ],
  [
    'a stream cut in the text',
    { type: 'text', text: 'a long answer that is cut '.repeat(20), chunks: 20, cutAfterBytes: 1_500 },
    'cut_stream',
    /broke off/,
  ],
  [
    'a stream cut in a call',
    { type: 'calls', calls: [{ name: 'a', arguments: { b: 'c'.repeat(900) } }], chunks: 9, cutAfterBytes: 1_500 },
    'cut_stream',
    /broke off/,
  ],
  [
    'a document that is cut',
    { type: 'text', text: 'abc', isWhole: true, cutAfterBytes: 40 },
    'cut_stream',
    /broke off/,
  ],
];

function error(message: string, more: Record<string, unknown> = {}): unknown {
  return { error: { message, ...more } };
}
