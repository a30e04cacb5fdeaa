// MCP servers on the web that refuse, forget, send too much and vanish.
import { afterAll, expect, test } from 'bun:test';
import { createId } from '../../src/lib/ids.ts';
import type { McpSettings } from '../../src/tools/mcp/configuration.ts';
import { createServersLab, secret } from './servers-lab.ts';

const lab = createServersLab();
const { call, settingsOf } = lab;
afterAll(() => lab.stop());

interface Web extends AsyncDisposable {
  readonly url: string;
  /** It forgets every session, as one that was started again does. */
  forget(): void;
  /** Sessions that it was told are over. */
  readonly ended: number;
  /** How often it was asked to do its only work. */
  readonly calls: number;
  stop(): Promise<void>;
}

/** Streamable HTTP by hand: one tool, whose name says what becomes of the answer. */
async function startWeb(): Promise<Web> {
  let sessions = new Set<string>();
  let calls = 0;
  let ended = 0;
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (request) => {
      if (request.headers.get('x-key') !== secret) return new Response('no', { status: 401 });
      if (request.method === 'DELETE') {
        ended += 1;
        return new Response(null, { status: 204 });
      }
      if (request.method !== 'POST') return new Response('', { status: 405 });
      const { id, method, params } = (await request.json()) as {
        id?: number;
        method: string;
        params?: { name?: string; protocolVersion?: string };
      };
      const answer = (result: object, headers = {}): Response =>
        Response.json({ jsonrpc: '2.0', id, result }, { headers });
      if (method === 'initialize') {
        const session = createId();
        sessions.add(session);
        const about = { capabilities: { tools: {} }, serverInfo: { name: 'web', version: '1' } };
        return answer({ protocolVersion: params?.protocolVersion, ...about }, { 'mcp-session-id': session });
      }
      if (!sessions.has(request.headers.get('mcp-session-id') ?? '')) return new Response('gone', { status: 404 });
      if (id === undefined) return new Response(null, { status: 202 });
      if (method === 'tools/list')
        return new Response(deepTools(id), { headers: { 'content-type': 'application/json' } });
      calls += 1;
      if (params?.name === 'endless')
        return new Response(endless(), { status: 500, headers: { 'content-type': 'text/plain' } });
      if (params?.name === 'dies') await server.stop(true);
      const size = params?.name === 'big' ? 40_000_000 : 10;
      return answer({ content: [{ type: 'text', text: 'y'.repeat(size) }] });
    },
  });
  const stop = (): Promise<void> => server.stop(true);
  return {
    url: `http://127.0.0.1:${server.port}/mcp`,
    forget: () => void (sessions = new Set()),
    get ended() {
      return ended;
    },
    get calls() {
      return calls;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
/** A schema with more levels than a program can write out again. */
function deepTools(id: number): string {
  const levels = 20_000;
  const schema = `{"type":"object","x":${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}}`;
  return `{"jsonrpc":"2.0","id":${id},"result":{"tools":[{"name":"deep","inputSchema":${schema}}]}}`;
}

function endless(): ReadableStream<Uint8Array> {
  const block = new Uint8Array(1_000_000).fill(120);
  return new ReadableStream({ pull: (controller) => controller.enqueue(block) });
}

const at = (url: string, headers: object = { 'x-key': '{{.secret.TOKEN}}' }): McpSettings =>
  settingsOf({ url, headers });

test('gets the headers, and is left alone without them', async () => {
  await using web = await startWeb();
  expect((await call(at(web.url), 'work')).status).toBe('success');
  const refused = await call(at(web.url, {}), 'work');
  expect(refused.output).toContain('it answered 401; configure its headers or oauth');
});

test('is told when its session is over', async () => {
  await using web = await startWeb();
  const own = createServersLab();
  await own.call(at(web.url), 'work');
  expect(web.ended).toBe(0);
  await own.stop();
  expect(web.ended).toBe(1);
});

test('that forgot the session is asked again in a new one, once', async () => {
  await using web = await startWeb();
  const settings = at(web.url);
  await call(settings, 'work');
  web.forget();
  expect((await call(settings, 'work')).status).toBe('success');
  expect(web.calls).toBe(2);
});

test('that sends 40 MB is not read to the end', async () => {
  await using web = await startWeb();
  const outcome = await call(at(web.url), 'big');
  expect(outcome.status).toBe('failed');
  expect(outcome.output).toContain('more than the 33554432 bytes that are read');
  expect((await call(at(web.url), 'work')).status).toBe('success');
});

test('that answers an error without end is not read to the end', async () => {
  await using web = await startWeb();
  const startedAt = performance.now();
  expect((await call(at(web.url), 'endless')).status).toBe('failed');
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});

test('that describes a tool with a schema of 20000 levels has that tool without a schema', async () => {
  await using web = await startWeb();
  const discovery = await lab.discover(at(web.url));
  expect(discovery).toMatchObject({ ok: true, offer: { tools: [{ name: 'deep', inputSchema: { type: 'object' } }] } });
  expect(JSON.stringify(discovery).length).toBeLessThan(1_000);
});

test('that names an authorization server elsewhere does not have its headers sent there', async () => {
  const seen: (string | null)[] = [];
  await using elsewhere = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request) => {
      seen.push(request.headers.get('x-key'));
      return new Response('no', { status: 404 });
    },
  });
  await using web = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request) => {
      const { pathname, origin } = new URL(request.url);
      if (pathname.startsWith('/.well-known/oauth-protected-resource')) {
        return Response.json({ resource: `${origin}/mcp`, authorization_servers: [elsewhere.url.origin] });
      }
      return new Response('no', { status: 401, headers: { 'www-authenticate': 'Bearer' } });
    },
  });
  const settings = settingsOf({
    url: `${web.url.origin}/mcp`,
    headers: { 'x-key': '{{.secret.TOKEN}}' },
    oauth: { client_id: 'me', client_secret: 'mine-alone' },
  });
  expect((await call(settings, 'work')).status).toBe('failed');
  expect(seen.length).toBeGreaterThan(0);
  expect(new Set(seen)).toEqual(new Set([null]));
});

test('that vanishes in a call leaves its outcome unknown', async () => {
  await using web = await startWeb();
  const outcome = await call(at(web.url), 'dies');
  expect(outcome.status).toBe('failed');
  expect(outcome.output).toContain('whether the call took effect is not known');
  expect(web.calls).toBe(1);
});
