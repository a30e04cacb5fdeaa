// MCP servers' configuration, the names and records of their tools, and the reader of their messages, with input that is wrong.
import { describe, expect, test } from 'bun:test';
import { createRedactor } from '../../../src/telemetry/redact.ts';
import { type McpConfiguration, readMcpServers } from '../../../src/tools/mcp/configuration.ts';
import type { McpOffer } from '../../../src/tools/mcp/connection.ts';
import { createMessageReader } from '../../../src/tools/mcp/message-reader.ts';
import { createMcpTools, toolsOfOffer, withNames } from '../../../src/tools/mcp/tools.ts';
import { discoverMcpTools } from '../../../src/worker/activities/mcp.ts';

const read = (servers: Record<string, unknown>): McpConfiguration =>
  readMcpServers(servers, {
    environment: { REGION: 'eu', EMPTY: '', constructor: 'own' },
    secrets: { TOKEN: 'tok-${REGION}-{{.env.REGION}}', 'with-dash': 'dashed-secret' },
    base: { PATH: '/bin' },
    workspace: '/srv/space',
  });
const problemOf = (server: unknown): string => read({ one: server }).problems[0]?.message ?? 'none';

describe('a configuration', () => {
  test('is filled in from the execution, once', () => {
    const { servers, secrets } = read({
      one: {
        command: '${REGION}-server',
        args: ['--token', '{{.secret.TOKEN}}', '{{ .env.REGION }}', '${NONE:-a b}', '$REGION ${EMPTY}|'],
        env: { KEY: '{{.secret.with-dash}}', LOG_TOKEN: 'written-down' },
      },
      two: { url: 'https://${REGION}.example/mcp?key=in-address', headers: { Authorization: 'Bearer ${TOKEN}' } },
    });
    // What a secret holds is not looked at again.
    const token = 'tok-${REGION}-{{.env.REGION}}';
    expect(servers.map(({ target }) => target)).toMatchObject([
      {
        transport: 'stdio',
        command: ['eu-server', '--token', token, 'eu', 'a b', '$REGION |'],
        environment: { PATH: '/bin', KEY: 'dashed-secret', LOG_TOKEN: 'written-down' },
        cwd: '/srv/space',
        isOfExecution: true,
      },
      { transport: 'any', url: 'https://eu.example/mcp?key=in-address', headers: { Authorization: `Bearer ${token}` } },
    ]);
    expect(secrets).toEqual(expect.arrayContaining([token, 'dashed-secret', 'written-down', 'in-address']));
  });

  test('knows nothing of the worker’s own environment', () => {
    expect(problemOf({ command: 'x', args: ['${HOME}'] })).toBe(
      'MCP server one is not available: ${HOME} is not set for this execution',
    );
    expect(problemOf({ command: 'x', args: ['{{.secret.toString}} ${TOKEN} {{.secret.NO}}'] })).toContain(
      '{{.secret.toString}}, {{.secret.NO}} is not set',
    );
  });

  const wrong: readonly (readonly [string, unknown, string])[] = [
    ['no object', 'npx server', 'Invalid type'],
    ['nothing', {}, 'not an http or https address'],
    ['an unknown transport', { transport: 'carrier-pigeon', url: 'http://a' }, 'is none of stdio, http, sse'],
    ['a file', { url: 'file:///etc/passwd' }, 'not an http or https address'],
    ['no address', { url: 'http://' }, 'not an http or https address'],
    ['stdio without a command', { type: 'stdio' }, 'it has no command'],
    ['arguments in one text', { command: 'x', args: 'a b' }, 'args: '],
    ['numbers for variables', { command: 'x', env: { A: 1 } }, 'env.A: '],
    ['no time', { command: 'x', timeout: 0 }, 'timeout: '],
    ['a start for ever', { command: 'x', startup_timeout: 100_000 }, 'startup_timeout: '],
  ];
  for (const [name, server, problem] of wrong) {
    test(`with ${name} is a sentence`, () => {
      expect(problemOf(server)).toContain(problem);
      expect(read({ one: server }).servers).toEqual([]);
    });
  }

  test('is not taken when it is off, and forms may send null', () => {
    expect(read({ one: { command: 'x', enabled: false }, two: null })).toMatchObject({ servers: [], problems: [] });
    expect(read({ one: { command: 'x', url: null, headers: null, timeout: null } }).problems).toEqual([]);
  });

  test('has bounds', () => {
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`s${index}`, { command: 'x' }]));
    expect(read(many).servers).toHaveLength(32);
    expect(read(many).problems[0]?.message).toContain('an agent can have 32 MCP servers');
    expect(read({ 'a\nb': { command: 'x' } }).problems[0]?.message).toContain('its name is not usable');
  });

  test('says which missing server is required', () => {
    expect(read({ one: { command: 'x', args: 'a', required: true } }).problems).toMatchObject([{ isRequired: true }]);
    expect(read({ one: { command: '${NO}', required: true } }).problems).toMatchObject([{ isRequired: true }]);
  });
});

describe('tools', () => {
  const [settings] = read({ 'my server': { command: 'x' } }).servers;
  if (settings === undefined) throw new Error('no settings');
  const offer = (names: readonly string[], more: Partial<McpOffer> = {}): McpOffer => ({
    tools: names.map((name) => ({ name, description: '', inputSchema: {}, isReadOnly: false, isIdempotent: false })),
    prompts: [],
    hasResources: false,
    ...more,
  });

  test('have names that providers take, each once and always the same', () => {
    const long = 'x'.repeat(90);
    const tools = toolsOfOffer(
      settings,
      offer(['a.b', 'a/b', `${long}1`, `${long}2`, 'ö', 'same', 'same', 'same', 'list_resources'], {
        hasResources: true,
      }),
    );
    const names = withNames(tools).map(({ name }) => name);
    expect(names[0]).toBe('mcp__my_server__a_b');
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(withNames(tools).map(({ name }) => name)).toEqual(names);
  });

  test('have no mask in their names where a server repeats a secret', async () => {
    const redactor = createRedactor();
    redactor.register('geheim-123');
    const mcp = { discover: async () => ({ ok: true, offer: offer(['drop-geheim-123']) }) as const };
    const configuration = { servers: [settings], problems: [], secrets: [] };
    const { tools } = await discoverMcpTools('execution', configuration, { redactor, mcp: mcp as never });
    expect(tools.map(({ name }) => name)).toEqual(['mcp__my_server__drop-_redacted_']);
    expect(JSON.stringify(tools)).not.toContain('geheim');
  });

  test('keep null where their schema knows it', async () => {
    const inputSchema = { type: 'object', properties: { a: { type: ['string', 'null'] }, b: { type: 'string' } } };
    const [tool] = createMcpTools(
      withNames(toolsOfOffer(settings, offer(['t']))).map((one) => ({ ...one, inputSchema })),
      {
        targets: new Map([['my server', settings.target]]),
        servers: { call: async (call) => ({ status: 'success', output: JSON.stringify(call.arguments) }) },
      },
    );
    const context = { signal: new AbortController().signal, limits: {}, onOutput: () => undefined } as never;
    expect((await tool?.run('{"a":null,"b":null,"c":1}', context))?.output).toBe('{"a":null,"c":1}');
    expect((await tool?.run('[1]', context))?.output).toContain('must be one JSON object');
    expect((await tool?.run('{', context))?.output).toContain('not valid JSON');
  });

  test('of a server that is not there any more say so', async () => {
    const tools = withNames(toolsOfOffer(settings, offer(['t'])));
    const [tool] = createMcpTools(tools, {
      targets: new Map(),
      servers: { call: () => Promise.reject(new Error('nobody is asked')) },
    });
    const context = { signal: new AbortController().signal, limits: {}, onOutput: () => undefined } as never;
    expect((await tool?.run('{}', context))?.output).toBe('MCP server my server is not configured any more');
  });
});

describe('the reader of messages', () => {
  function readAll(chunks: readonly string[], bytesMax = 100) {
    const seen: unknown[] = [];
    const reader = createMessageReader({
      bytesMax,
      onMessage: (message) => seen.push(message),
      onGarbage: (line) => seen.push(`garbage ${line}`),
      onOversize: (id, bytes) => seen.push(`oversize ${String(id)} ${bytes}`),
    });
    for (const chunk of chunks) reader.push(Buffer.from(chunk));
    return seen;
  }
  const message = { jsonrpc: '2.0', id: 7, result: { text: 'é' } };
  const line = JSON.stringify(message);

  test('takes bytes as they come', () => {
    const bytes = Buffer.from(`${line}\r\n\n${line}\n`);
    const seen: unknown[] = [];
    const reader = createMessageReader({
      onMessage: (one) => seen.push(one),
      onGarbage: () => seen.push('garbage'),
      onOversize: () => seen.push('oversize'),
    });
    for (const byte of bytes) reader.push(Uint8Array.of(byte));
    expect(seen).toEqual([message, message]);
  });

  test('tells messages from other things', () => {
    expect(readAll(['hello\n[1]\n"x"\n{"a":1}\nnull\n', line])).toEqual(
      ['hello', '[1]', '"x"', '{"a":1}', 'null'].map((text) => `garbage ${text}`),
    );
  });

  test('finds whose answer was too large', () => {
    const big = 'x'.repeat(500);
    const lines = [
      `{"jsonrpc":"2.0","id":3,"result":"${big}"}\n`,
      `{"result":"${big}","jsonrpc":"2.0","id":4}\n`,
      `{"result":"${big}","id":5,"jsonrpc":"2.0"}\n`,
      `${big}\n`,
      `${line}\n`,
    ];
    const halves = lines.flatMap((text) => [text.slice(0, 90), text.slice(90)]);
    expect(readAll(halves)).toEqual([
      'oversize 3 536',
      'oversize 4 536',
      'oversize 5 536',
      'oversize undefined 500',
      message,
    ]);
  });
});
