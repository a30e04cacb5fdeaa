// Webhooks against the real server: what is signed starts one execution, and everything that strangers try starts none.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import { connect } from 'node:net';
import type { Job } from '../../src/protocol/jobs.ts';
import type { DevServer } from '../../src/server/dev-server.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import {
  absentTemporal,
  callerOf,
  createTestClock,
  startTestServer,
  startTestTemporal,
  type Answer,
  type Call,
} from './support.ts';

let devServer: DevServer;
let server: ControlPlane;
let call: Call;
const clock = createTestClock();

beforeAll(async () => {
  devServer = await startTestTemporal();
  server = await startTestServer(devServer.address, { clock });
  call = callerOf(server.url);
}, 60_000);
afterAll(async () => {
  await server.stop();
  await devServer.stop();
}, 60_000);

let number = 0;
async function createHook(
  body: Record<string, unknown> = {},
  caller = call,
): Promise<Job & { webhook_secret: string }> {
  const given = { name: `hook-${++number}`, prompt: 'say hello', trigger_type: 'webhook', ...body };
  return (await caller('POST', '/api/v1/jobs', given)).body as unknown as Job & { webhook_secret: string };
}

const seconds = (offset = 0): string => String(Math.floor(clock.now() / 1000) + offset);
const hmac = (secret: string, ...parts: (string | Uint8Array)[]): string => {
  const mac = createHmac('sha256', secret);
  for (const part of parts) mac.update(part);
  return `sha256=${mac.digest('hex')}`;
};

type Hook = Pick<Job, 'id'> & { readonly webhook_secret: string };
type Bytes = string | Uint8Array<ArrayBuffer>;

/** Without a token. */
async function post(
  path: string,
  body: Bytes | undefined,
  headers: Record<string, string>,
  url = server.url,
): Promise<Answer> {
  const response = await fetch(`${url}${path}`, { method: 'POST', headers, ...(body === undefined ? {} : { body }) });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

function deliver(hook: Hook, body: Bytes, headers: Record<string, string> = {}, url?: string): Promise<Answer> {
  const timestamp = headers['x-kubiya-timestamp'] ?? seconds();
  const signature = hmac(hook.webhook_secret, `${timestamp}.`, body);
  const given = {
    'content-type': 'application/json',
    'x-kubiya-timestamp': timestamp,
    'x-kubiya-signature': signature,
  };
  return post(`/api/v1/webhooks/${hook.id}`, body, { ...given, ...headers }, url);
}

const runsOf = async ({ id }: Hook): Promise<{ execution_id: string; trigger_type: string }[]> =>
  (await call('GET', `/api/v1/jobs/${id}/executions`)).body as unknown as {
    execution_id: string;
    trigger_type: string;
  }[];
const promptOf = async (id: unknown): Promise<unknown> =>
  (await call('GET', `/api/v1/executions/${String(id)}`)).body['prompt'];

describe('a signed delivery', () => {
  test('starts an execution with its body in the prompt; the secret is shown once', async () => {
    const hook = await createHook({ prompt: '{{.body.action}} {{.body.issue.number}}: {{.body.issue.title}}' });
    expect(hook.webhook_secret).toMatch(/^kubiya_whsec_[\w-]{43}$/);
    expect(hook.webhook_url).toBe(`${server.url}/api/v1/webhooks/${hook.id}`);
    const body = JSON.stringify({ action: 'opened', issue: { number: 7, title: 'It\n`is` slow' } });
    const answer = await deliver(hook, body);
    expect(answer).toMatchObject({ status: 202, body: { job_id: hook.id } });
    expect(await promptOf(answer.body['execution_id'])).toBe(String.raw`opened 7: "It\n\u0060is\u0060 slow"`);
    expect(await runsOf(hook)).toMatchObject([
      { trigger_type: 'webhook', execution_id: answer.body['execution_id'] as string },
    ]);
    for (const path of ['/api/v1/jobs', `/api/v1/jobs/${hook.id}`, `/api/v1/jobs/${hook.id}/executions`])
      expect(JSON.stringify((await call('GET', path)).body)).not.toContain('whsec');
    const renamed = await call('PATCH', `/api/v1/jobs/${hook.id}`, { description: 'x' });
    expect(JSON.stringify(renamed.body)).not.toContain('whsec');
  });

  test.each([
    ['JSON of another type', 'application/cloudevents+json; charset=utf-8', '{"x":"é"}', 'é'],
    ['a form of GitHub', 'application/x-www-form-urlencoded', `payload=${encodeURIComponent('{"x":"é"}')}`, 'é'],
    ['a form of another sender', 'application/x-www-form-urlencoded', 'x=a+b', 'a b'],
  ])('may be %s', async (_name, type, body, expected) => {
    const hook = await createHook({ prompt: '{{.body.x}}' });
    const answer = await deliver(hook, body, { 'content-type': type });
    expect(answer.status).toBe(202);
    expect(await promptOf(answer.body['execution_id'])).toBe(expected);
  });

  test('may be text, or nothing at all', async () => {
    const hook = await createHook({ prompt: 'got {{.body}}' });
    const texts = await deliver(hook, 'two\nlines', { 'content-type': 'text/plain' });
    expect(await promptOf(texts.body['execution_id'])).toBe(String.raw`got "two\nlines"`);
    const nothing = await deliver(hook, '');
    expect(nothing.status).toBe(202);
    expect(await promptOf(nothing.body['execution_id'])).toBe('got null');
  });

  test('GitHub signs the body alone, and asks once whether the URL is right', async () => {
    const hook = await createHook();
    const headers = { 'content-type': 'application/json', 'x-github-delivery': 'd1' };
    const send = (body: string, event: string) =>
      post(`/api/v1/webhooks/${hook.id}`, body, {
        ...headers,
        'x-github-event': event,
        'x-hub-signature-256': hmac(hook.webhook_secret, body),
      });
    expect(await send('{"zen":"x"}', 'ping')).toEqual({ status: 200, body: { job_id: hook.id, execution_id: null } });
    const first = await send('{"number":1}', 'pull_request');
    expect(first.status).toBe(202);
    expect(await send('{"number":1}', 'pull_request')).toMatchObject({
      body: { execution_id: first.body['execution_id'] as string, is_duplicate: true },
    });
    expect(await runsOf(hook)).toHaveLength(1);
  });

  test('is taken when Temporal is away: the execution waits for it', async () => {
    const own = await startTestServer(absentTemporal);
    try {
      const hook = await createHook({}, callerOf(own.url));
      const timestamp = String(Math.floor(Date.now() / 1000));
      expect(await deliver(hook, '{}', { 'x-kubiya-timestamp': timestamp }, own.url)).toMatchObject({ status: 202 });
    } finally {
      await own.stop();
    }
  }, 15_000);
});

describe('a repetition', () => {
  test('is the same execution: by signature, by the id of the delivery, and when many come at once', async () => {
    const hook = await createHook();
    const at = { 'x-kubiya-timestamp': seconds() };
    const crowd = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        deliver(hook, '{"n":1}', { ...at, 'x-kubiya-delivery': `crowd-${index}` }),
      ),
    );
    expect(new Set(crowd.map(({ body }) => body['execution_id'])).size).toBe(1);
    expect(crowd.every(({ status }) => status === 202)).toBe(true);
    // Whoever repeats what was seen on the wire cannot make it another one by another id.
    expect(await deliver(hook, '{"n":1}', { ...at, 'x-kubiya-delivery': 'other' })).toMatchObject({
      body: { is_duplicate: true },
    });
    const named = { 'x-kubiya-delivery': 'd-7' };
    const first = await deliver(hook, '{"n":2}', named);
    const signedAgain = await deliver(hook, '{"n":2}', { ...named, 'x-kubiya-timestamp': seconds(2) });
    expect(signedAgain.body).toMatchObject({ execution_id: first.body['execution_id'] as string, is_duplicate: true });
    const keyed = await deliver(hook, '{"n":3}', { 'idempotency-key': 'd-7' });
    expect(keyed.body).toMatchObject({ is_duplicate: true });
    expect(await runsOf(hook)).toHaveLength(2);
    // Of another webhook it is another one.
    expect((await deliver(await createHook(), '{"n":2}', named)).body['is_duplicate']).toBeUndefined();
  });

  test('of one that could not run is tried again', async () => {
    const hook = await createHook({ prompt: '{{.body.x}}' });
    const named = { 'x-kubiya-delivery': 'again' };
    expect(await deliver(hook, '{}', named)).toMatchObject({ status: 422, body: { code: 'prompt_not_rendered' } });
    await call('PATCH', `/api/v1/jobs/${hook.id}`, { prompt_template: 'without' });
    expect((await deliver(hook, '{}', named)).status).toBe(202);
    expect(await runsOf(hook)).toHaveLength(1);
  });
});

describe('what starts nothing', () => {
  const old = (): string => seconds(-301);
  test.each<[string, (hook: Hook) => Promise<Answer>, number, string]>([
    ['no signature', (hook) => post(`/api/v1/webhooks/${hook.id}`, '{}', {}), 401, 'webhook_unsigned'],
    [
      'the token of the server instead',
      (hook) => call('POST', `/api/v1/webhooks/${hook.id}`, {}),
      401,
      'webhook_unsigned',
    ],
    ['another secret', (hook) => deliver({ ...hook, webhook_secret: 'x' }, '{}'), 401, 'webhook_signature_wrong'],
    ['an empty secret', (hook) => deliver({ ...hook, webhook_secret: '' }, '{}'), 401, 'webhook_signature_wrong'],
    [
      'a signature of another body',
      (hook) => deliver(hook, '{ }', { 'x-kubiya-signature': hmac(hook.webhook_secret, `${seconds()}.`, '{}') }),
      401,
      'webhook_signature_wrong',
    ],
    [
      'a signature without its timestamp',
      (hook) => deliver(hook, '{}', { 'x-kubiya-signature': hmac(hook.webhook_secret, '{}') }),
      401,
      'webhook_signature_wrong',
    ],
    [
      'a signature in Base64',
      (hook) =>
        deliver(hook, '{}', {
          'x-kubiya-signature': createHmac('sha256', hook.webhook_secret).update('x').digest('base64'),
        }),
      401,
      'webhook_signature_wrong',
    ],
    [
      'half a signature',
      (hook) => deliver(hook, '{}', { 'x-kubiya-signature': 'sha256=ab' }),
      401,
      'webhook_signature_wrong',
    ],
    ['an empty signature', (hook) => deliver(hook, '{}', { 'x-kubiya-signature': '' }), 401, 'webhook_signature_wrong'],
    ['an old timestamp', (hook) => deliver(hook, '{}', { 'x-kubiya-timestamp': old() }), 401, 'webhook_timestamp_old'],
    [
      'a timestamp of the future',
      (hook) => deliver(hook, '{}', { 'x-kubiya-timestamp': seconds(302) }),
      401,
      'webhook_timestamp_old',
    ],
    [
      'a timestamp of other digits',
      (hook) => deliver(hook, '{}', { 'x-kubiya-timestamp': '1e9' }),
      401,
      'webhook_timestamp_missing',
    ],
    [
      'a negative timestamp',
      (hook) => deliver(hook, '{}', { 'x-kubiya-timestamp': '-1' }),
      401,
      'webhook_timestamp_missing',
    ],
    [
      'a timestamp in milliseconds',
      (hook) => deliver(hook, '{}', { 'x-kubiya-timestamp': String(clock.now()) }),
      401,
      'webhook_timestamp_missing',
    ],
    ['broken JSON', (hook) => deliver(hook, '{'), 400, 'malformed_json'],
    [
      'another type',
      (hook) => deliver(hook, '<a/>', { 'content-type': 'application/xml' }),
      415,
      'unsupported_media_type',
    ],
    [
      'another encoding of text',
      (hook) => deliver(hook, '{}', { 'content-type': 'application/json; charset=utf-16' }),
      415,
      'unsupported_media_type',
    ],
    [
      'bytes that are no text',
      (hook) => deliver(hook, Uint8Array.from([0xff, 0xfe, 0x22])),
      415,
      'unsupported_media_type',
    ],
    [
      'a compressed body',
      (hook) => deliver(hook, Bun.gzipSync('{}'), { 'content-encoding': 'gzip' }),
      415,
      'unsupported_media_type',
    ],
    ['a body above a megabyte', (hook) => deliver(hook, JSON.stringify('x'.repeat(1_000_000))), 413, 'body_too_large'],
    [
      'an endless id',
      (hook) => deliver(hook, '{}', { 'x-kubiya-delivery': 'd'.repeat(201) }),
      400,
      'webhook_delivery_id_too_long',
    ],
    [
      'an id that no webhook has',
      (hook) => deliver({ ...hook, id: crypto.randomUUID() }, '{}'),
      404,
      'webhook_not_found',
    ],
    ['the name of the job', (hook) => deliver({ ...hook, id: `hook-${number}` }, '{}'), 404, 'webhook_not_found'],
  ])('%s', async (_name, attempt, status, code) => {
    const hook = await createHook();
    expect(await attempt(hook)).toMatchObject({ status, body: { code } });
    expect(await runsOf(hook)).toEqual([]);
  });

  test('an old delivery that poses as one of GitHub, its timestamp in the body', async () => {
    const hook = await createHook();
    const body = `${seconds(-20 * 24 * 3600)}.{"x":1}`;
    const headers = { 'content-type': 'text/plain', 'x-hub-signature-256': hmac(hook.webhook_secret, body) };
    expect(await post(`/api/v1/webhooks/${hook.id}`, body, headers)).toMatchObject({ status: 401 });
    expect(await runsOf(hook)).toEqual([]);
  });

  test('a body without an end is cut off', async () => {
    const hook = await createHook();
    const { port } = new URL(server.url);
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(Number(port), '127.0.0.1');
      let text = '';
      const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
      const write = (): void => {
        while (!socket.destroyed && socket.writable && socket.write(chunk));
      };
      socket
        .on('drain', write)
        .on('error', () => resolve(text))
        .on('close', () => resolve(text));
      socket.setEncoding('utf8').on('data', (part: string) => {
        text += part;
        socket.destroy();
      });
      socket.write(`POST /api/v1/webhooks/${hook.id} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
      write();
    });
    expect(answer === '' || answer.startsWith('HTTP/1.1 413')).toBe(true);
    expect(await runsOf(hook)).toEqual([]);
  }, 15_000);

  test('a job that has no webhook, none any more, or a disabled one', async () => {
    const manual = (await call('POST', '/api/v1/jobs', { name: 'manual', prompt: 'x' })).body as unknown as Job;
    expect(manual.webhook_url).toBeNull();
    expect(await deliver({ id: manual.id, webhook_secret: 'null' }, '{}')).toMatchObject({ status: 404 });
    const hook = await createHook();
    await call('POST', `/api/v1/jobs/${hook.id}/disable`);
    expect(await deliver(hook, '{}')).toMatchObject({ status: 409, body: { code: 'job_disabled' } });
    await call('PATCH', `/api/v1/jobs/${hook.id}`, { trigger_type: 'manual' });
    expect(await deliver(hook, '{}')).toMatchObject({ status: 404 });
    // Back again it has another secret.
    const again = (await call('PATCH', `/api/v1/jobs/${hook.id}`, { trigger_type: 'webhook', enabled: true })).body;
    expect(again['webhook_secret']).not.toBe(hook.webhook_secret);
    expect(await deliver(hook, '{}')).toMatchObject({ status: 401 });
    await call('DELETE', `/api/v1/jobs/${hook.id}`);
    expect(await deliver(hook, '{}')).toMatchObject({ status: 404 });
  });

  test('the secret before a rotation', async () => {
    const hook = await createHook();
    const { body } = await call('POST', `/api/v1/jobs/${hook.id}/rotate-secret`);
    expect(await deliver(hook, '{}')).toMatchObject({ status: 401 });
    expect(await deliver({ id: hook.id, webhook_secret: String(body['webhook_secret']) }, '{}')).toMatchObject({
      status: 202,
    });
    const { id } = (await call('POST', '/api/v1/jobs', { name: 'plain', prompt: 'x' })).body;
    expect((await call('POST', `/api/v1/jobs/${String(id)}/rotate-secret`)).status).toBe(400);
  });

  test('more than 60 at once; strangers take nothing of it, and it comes back', async () => {
    const hook = await createHook();
    for (let index = 0; index < 70; index += 1) await deliver({ ...hook, webhook_secret: 'x' }, `{"n":${index}}`);
    // Their prompt is refused, which costs no execution and counts all the same.
    await call('PATCH', `/api/v1/jobs/${hook.id}`, { prompt_template: '{{.body.missing}}' });
    const statuses: number[] = [];
    for (let index = 0; index < 64; index += 1) statuses.push((await deliver(hook, `{"n":${index}}`)).status);
    expect(statuses.slice(0, 60)).toEqual(Array.from({ length: 60 }, () => 422));
    expect(statuses.at(-1)).toBe(429);
    clock.advance(5_000);
    expect((await deliver(hook, '{"n":"later"}')).status).toBe(422);
  });
});
