// Why a model call failed: HTTP answers, errors inside a stream and exceptions of fetch → ModelFailure.
import { errnoOf, messageOf } from '../errors.ts';
import { isCertificateCode, ProxiedError } from '../lib/network.ts';
import type { ModelFailure, ModelFailureKind } from '../protocol/model.ts';
import type { ModelEndpoint } from './endpoint.ts';
import { isJsonObject, parseJson, textOf } from './json.ts';

/** A provider's own words in our sentence: enough for the longest validation message seen, too short for an HTML page. */
const detailCharsMax = 400;
/** What of it is looked at before mark-up is taken out; the head of an error page is shorter. */
const rawDetailCharsMax = 10_000;
/** A longer Retry-After means "not today": the caller's own limit on retries decides, and the number stays a sane one. */
const retryAfterMsMax = 3_600_000;

/** What a provider's error body says, whichever dialect it is in. */
interface ErrorDetails {
  readonly text: string;
  /** Lower-case type and code as far as given: `overloaded_error`, `context_length_exceeded`. */
  readonly codes: readonly string[];
  /** A status that stands in the body (OpenRouter, LiteLLM). */
  readonly status: number | undefined;
}

/** The failure that an HTTP answer with an error status means. */
export function failureFromStatus(
  endpoint: ModelEndpoint,
  answer: { readonly status: number; readonly headers: Headers; readonly body: string },
): ModelFailure {
  const details = errorDetails(parseJson(answer.body) ?? answer.body);
  const kind = kindFromDetails(details) ?? kindFromStatus(answer.status);
  const retryAfterMs =
    kind === 'rate_limited' || kind === 'overloaded' ? retryAfter(answer.headers, Date.now()) : undefined;
  return {
    ...describe(endpoint, kind, details, answer.status),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/** The failure that an error inside a stream (or an error document with status 200) means. */
export function failureFromStreamError(endpoint: ModelEndpoint, body: unknown): ModelFailure {
  const details = errorDetails(body);
  // An error without a code comes from a provider whose own side broke while it answered.
  const kind =
    kindFromDetails(details) ?? (details.status === undefined ? 'overloaded' : kindFromStatus(details.status));
  return describe(endpoint, kind, details, details.status);
}

/** The failure of a fetch that threw before there was an answer. */
export function failureFromException(endpoint: ModelEndpoint, error: unknown): ModelFailure {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = errnoOf(cause) ?? errnoOf(error) ?? messageOf(cause);
  const way = error instanceof ProxiedError ? ` through the proxy ${error.proxy}` : '';
  const sentence = `${endpoint.title} at ${hostOf(endpoint)} could not be reached${way} (${code})`;
  if (!isCertificateCode(code)) return failure(endpoint, 'network', sentence);
  // No attempt later would trust it.
  const remedy = 'set KUBIYA_CA_FILE to the PEM file of your certificate authority';
  return failure(endpoint, 'invalid_request', `${sentence}; ${remedy}`);
}

/** A failure that we saw ourselves. `sentence` must name the provider. */
export function failure(endpoint: ModelEndpoint, kind: ModelFailureKind, sentence: string): ModelFailure {
  return { kind, message: withoutKeys(sentence, endpoint.key) };
}

/** `OpenAI model gpt-5`: how our sentences name what was called. */
export function nameOf(endpoint: ModelEndpoint): string {
  return `${endpoint.title} model ${endpoint.wireModel}`;
}

function hostOf(endpoint: ModelEndpoint): string {
  return new URL(endpoint.baseUrl).host;
}

function describe(
  endpoint: ModelEndpoint,
  kind: ModelFailureKind,
  details: ErrorDetails,
  status: number | undefined,
): ModelFailure {
  const sentence = sentenceFor(endpoint, kind, status);
  // Keys go before the cut, so that none is left as a half that looks like nothing.
  const text = oneLine(withoutKeys(details.text, endpoint.key));
  const cut = text.length > detailCharsMax ? `${text.slice(0, detailCharsMax)}…` : text;
  return { kind, message: cut === '' ? sentence : `${sentence}: ${cut}`, ...(status === undefined ? {} : { status }) };
}

function sentenceFor(endpoint: ModelEndpoint, kind: ModelFailureKind, status: number | undefined): string {
  const name = nameOf(endpoint);
  const code = status === undefined ? '' : ` (${status})`;
  switch (kind) {
    case 'rate_limited':
      return `${name} is limiting our rate${code}`;
    case 'overloaded':
      return `${name} is overloaded or failing${code}`;
    case 'authentication':
      return endpoint.key === undefined && endpoint.keyVariable !== undefined
        ? `${endpoint.title} wants a key${code} and ${endpoint.keyVariable} is not set`
        : `${endpoint.title} refused the key${endpoint.keyVariable === undefined ? '' : ` in ${endpoint.keyVariable}`}${code}`;
    case 'context_overflow':
      return `The conversation is larger than the window of ${name}${code}`;
    case 'timeout':
      return `${name} ran into a time limit of its own${code}`;
    default:
      return `${name} refused the request${code}`;
  }
}

function kindFromStatus(status: number): ModelFailureKind {
  if (status === 429) return 'rate_limited';
  if (status === 401 || status === 403) return 'authentication';
  if (status === 408) return 'timeout';
  if (status === 413) return 'context_overflow';
  if (status >= 500) return 'overloaded';
  return status >= 400 ? 'invalid_request' : 'bad_response';
}

const kindsByCode: ReadonlyMap<string, ModelFailureKind> = new Map<string, ModelFailureKind>([
  // Anthropic, https://docs.anthropic.com/en/api/errors
  ['overloaded_error', 'overloaded'],
  ['api_error', 'overloaded'],
  ['rate_limit_error', 'rate_limited'],
  ['authentication_error', 'authentication'],
  ['permission_error', 'authentication'],
  ['request_too_large', 'context_overflow'],
  ['timeout_error', 'timeout'],
  // OpenAI and those that speak like it
  ['context_length_exceeded', 'context_overflow'],
  ['exceed_context_size_error', 'context_overflow'],
  ['rate_limit_exceeded', 'rate_limited'],
  ['server_error', 'overloaded'],
  ['internal_server_error', 'overloaded'],
  ['invalid_api_key', 'authentication'],
  // 429 too, but no waiting helps: the account has no credit.
  ['insufficient_quota', 'invalid_request'],
]);

/**
 * How servers without a code for it say that the prompt does not fit: Anthropic ("prompt is too long: 214000 tokens >"),
 * OpenAI and vLLM ("maximum context length is"), Ollama and llama.cpp ("exceeds the available context size"), and others.
 */
const contextOverflowPattern =
  /prompt is too long|maximum context length|exceed\w* (?:the )?(?:available |model'?s? )*(?:maximum )?context|context (?:length|window|size)\b.{0,40}exceed|input (?:length|is too long).{0,60}(?:exceed|too long|context)|too many (?:input )?tokens in (?:the )?(?:prompt|request)/i;

function kindFromDetails(details: ErrorDetails): ModelFailureKind | undefined {
  const known = details.codes.map((code) => kindsByCode.get(code)).find((kind) => kind !== undefined);
  return known ?? (contextOverflowPattern.test(details.text) ? 'context_overflow' : undefined);
}

/** Reads the error bodies in use: `{error:{message,type,code}}`, `{error:"…"}`, `{message}`, `{detail}`, text. */
function errorDetails(body: unknown): ErrorDetails {
  if (!isJsonObject(body)) return { text: textOf(body), codes: [], status: undefined };
  const inner = isJsonObject(body['error']) ? body['error'] : body;
  const detail = isJsonObject(body['detail']) || Array.isArray(body['detail']) ? JSON.stringify(body['detail']) : '';
  const texts = [inner['message'], body['error'], body['message'], body['detail'], detail].map(textOf);
  const codes = [inner['code'], inner['type']].map((code) => textOf(code).toLowerCase());
  const status = [inner['code'], inner['status']].map(Number).find((code) => code >= 400 && code < 600);
  return { text: texts.find((text) => text !== '') ?? '', codes, status };
}

/** Text of a stranger as part of a sentence: one line, no control characters, no mark-up, no full stop. */
function oneLine(text: string): string {
  return text
    .slice(0, rawDetailCharsMax)
    .replace(/<(?:style|script|head)[\s\S]*?<\/(?:style|script|head)>|<[^>]*>/gi, ' ')
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .replace(/\.$/, '');
}

/** Keys of the providers by their shape, and anything long that follows a word for a key. */
const keyPattern =
  /\b(?:sk|pk|rk|gsk|xai|pplx|fw|tgp|r8|hf)[-_][\w*.-]{8,}|\bAIza[\w-]{10,}|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?|(?<=\b(?:bearer|api[-_ ]?key|token)[ :='"]{1,4})[\w*.-]{16,}/gi;

/** Providers repeat the key they refuse ("Incorrect API key provided: sk-…"); our messages reach logs and screens. */
export function withoutKeys(text: string, key: string | undefined): string {
  const withoutOwn = key === undefined || key.length < 6 ? text : text.replaceAll(key, '[redacted]');
  return withoutOwn.replace(keyPattern, '[redacted]');
}

/** Retry-After as seconds or as an HTTP date, or the finer `retry-after-ms`, in milliseconds from `now`. */
function retryAfter(headers: Headers, now: number): number | undefined {
  const fine = Number(headers.get('retry-after-ms') ?? Number.NaN);
  if (Number.isFinite(fine) && fine >= 0) return Math.min(fine, retryAfterMsMax);
  const value = headers.get('retry-after')?.trim();
  if (value === undefined || value === '') return undefined;
  const wait = /^\d+(?:\.\d+)?$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isNaN(wait) ? undefined : Math.round(Math.min(Math.max(wait, 0), retryAfterMsMax));
}
