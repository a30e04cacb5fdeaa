// Which provider a model id leads to with which credentials, and the errors when it leads nowhere.
import { describe, expect, test } from 'bun:test';
import { createServer } from 'node:http';
import { KubiyaError } from '../../../src/errors.ts';
import { providerTable } from '../../../src/gateway/provider-table.ts';
import { createModelClient, discoverProvider, resolveModel } from '../../../src/gateway/providers.ts';
import { providerVariableNames, type ProviderCredentials } from '../../../src/protocol/providers.ts';
import { startScriptedAnthropic, startScriptedOpenAi } from '../../support/model-servers.ts';
import { call, failureOf, requestOf, resultOf, userMessage, withServer } from './harness.ts';

const key = 'sk-test-0123456789abcdef';

function errorOf(run: () => unknown): KubiyaError {
  try {
    run();
  } catch (error) {
    if (error instanceof KubiyaError) return error;
    throw error;
  }
  throw new Error('It did not throw');
}

describe('a model id', () => {
  const cases: [string | undefined, ProviderCredentials, string, string][] = [
    ['anthropic/claude-x', { ANTHROPIC_API_KEY: key }, 'anthropic', 'anthropic/claude-x'],
    ['claude-x', { ANTHROPIC_API_KEY: key }, 'anthropic', 'anthropic/claude-x'],
    ['openai/gpt-5', { OPENAI_API_KEY: key }, 'openai', 'openai/gpt-5'],
    ['gpt-5', { OPENAI_API_KEY: key, ANTHROPIC_API_KEY: key }, 'openai', 'openai/gpt-5'],
    ['o3', { OPENAI_API_KEY: key }, 'openai', 'openai/o3'],
    ['openrouter/anthropic/claude-x', { OPENROUTER_API_KEY: key }, 'openrouter', 'openrouter/anthropic/claude-x'],
    ['ollama/llama3:8b', {}, 'ollama', 'ollama/llama3:8b'],
    ['meta-llama/Llama-3', { OPENAI_BASE_URL: 'http://127.0.0.1:8000/v1' }, 'openai', 'openai/meta-llama/Llama-3'],
    ['kubiya/claude-sonnet-4', { LITELLM_API_BASE: 'http://127.0.0.1:4000' }, 'litellm', 'kubiya/claude-sonnet-4'],
    ['openai/gpt-5', { LITELLM_API_BASE: 'http://127.0.0.1:4000', OPENAI_API_KEY: key }, 'litellm', 'openai/gpt-5'],
    [' kubiya/offline ', {}, 'kubiya', 'kubiya/offline'],
    ['kubiya/offline', { LITELLM_API_BASE: 'http://127.0.0.1:4000', OPENAI_API_KEY: key }, 'kubiya', 'kubiya/offline'],
    [undefined, { OPENAI_API_KEY: key }, 'openai', 'openai/gpt-5-mini'],
    [undefined, { OPENAI_API_KEY: key, ANTHROPIC_API_KEY: key }, 'anthropic', 'anthropic/claude-sonnet-4-5'],
    ['', { GROQ_API_KEY: key, OPENAI_API_KEY: ' ' }, 'groq', 'groq/openai/gpt-oss-120b'],
    [
      undefined,
      { LITELLM_API_BASE: 'http://127.0.0.1:4000', OPENAI_API_KEY: key },
      'litellm',
      'kubiya/claude-sonnet-4',
    ],
    [undefined, { LITELLM_API_BASE: 'http://127.0.0.1:4000', LITELLM_DEFAULT_MODEL: 'mine' }, 'litellm', 'mine'],
  ];
  for (const [id, credentials, provider, model] of cases) {
    test(`${id ?? 'none'} with ${Object.keys(credentials).join(', ') || 'nothing'}`, () => {
      const resolved = resolveModel(id, credentials);
      expect([resolved.provider, resolved.model]).toEqual([provider, model]);
      // What is recorded leads to the same place when a worker resolves it again.
      const again = resolveModel(resolved.model, credentials);
      expect([again.provider, again.model]).toEqual([provider, model]);
    });
  }

  test('every provider of the table can be named', () => {
    const credentials = Object.fromEntries(
      providerVariableNames.filter((name) => name.endsWith('_KEY')).map((name) => [name, key]),
    );
    for (const entry of providerTable) {
      expect(resolveModel(`${entry.id}/some-model`, credentials)).toMatchObject({
        provider: entry.id,
        model: `${entry.id}/some-model`,
      });
      expect(providerVariableNames).toContain(entry.keyVariable ?? entry.baseUrlVariable ?? 'OPENAI_API_KEY');
      expect(URL.canParse(entry.baseUrl)).toBe(true);
    }
  });
});

describe('an id that leads nowhere', () => {
  const cases: [string | undefined, ProviderCredentials, string, RegExp][] = [
    [undefined, {}, 'no_provider', /ANTHROPIC_API_KEY, OPENAI_API_KEY.*Ollama/],
    [undefined, { LITELLM_API_KEY: key }, 'no_provider', /LITELLM_API_BASE/],
    [undefined, { OPENAI_BASE_URL: 'http://127.0.0.1:8000/v1' }, 'no_model', /OPENAI_BASE_URL is set/],
    ['anthropic/claude-x', { OPENAI_API_KEY: key }, 'provider_key_missing', /Anthropic.*ANTHROPIC_API_KEY is not set/],
    ['groq/x', {}, 'provider_key_missing', /GROQ_API_KEY/],
    ['gpt-5', { ANTHROPIC_API_KEY: key }, 'provider_key_missing', /OPENAI_API_KEY/],
    ['kubiya/claude-sonnet-4', { OPENAI_API_KEY: key }, 'provider_key_missing', /LITELLM_API_BASE/],
    [
      'kubiya/claude-sonnet-4',
      { OPENAI_BASE_URL: 'http://127.0.0.1:8000/v1' },
      'provider_key_missing',
      /LITELLM_API_BASE/,
    ],
    ['llama3', { OPENAI_API_KEY: key }, 'unknown_model', /llama3/],
    ['nobody/x', { OPENAI_API_KEY: key }, 'unknown_model', /nobody\/x/],
    ['anthropic/', { ANTHROPIC_API_KEY: key }, 'unknown_model', /anthropic\//],
    ['openai/x', { OPENAI_BASE_URL: 'localhost:8000' }, 'bad_provider_url', /OPENAI_BASE_URL/],
    ['openai/x', { OPENAI_BASE_URL: 'ftp://x' }, 'bad_provider_url', /OPENAI_BASE_URL/],
    ['openai/x', { OPENAI_BASE_URL: `http://user:${key}@host/v1` }, 'bad_provider_url', /OPENAI_BASE_URL/],
    ['openai/x', { OPENAI_BASE_URL: 'not a url' }, 'bad_provider_url', /OPENAI_BASE_URL/],
    ['openai/x', { OPENAI_API_KEY: `${key}\nX-Other: 1` }, 'bad_provider_key', /OPENAI_API_KEY/],
    ['claude-x', { ANTHROPIC_API_KEY: `${key} ü` }, 'bad_provider_key', /ANTHROPIC_API_KEY/],
  ];
  for (const [id, credentials, code, message] of cases) {
    test(`${id ?? 'none'} with ${Object.keys(credentials).join(', ') || 'nothing'}`, () => {
      const error = errorOf(() => resolveModel(id, credentials));
      expect(error).toMatchObject({ kind: 'configuration', code, exitCode: 6 });
      expect(error.message).toMatch(message);
      expect(error.message + String(error.hint)).not.toContain(key);
      expect(error.hint).toBeDefined();
    });
  }

  test('no provider: the hint names the offline model', () => {
    expect(errorOf(() => resolveModel(undefined, {})).hint).toContain('--model kubiya/offline');
  });
});

describe('an address', () => {
  const path = (address: (url: string) => string): Promise<string> =>
    withServer(startScriptedOpenAi, [{ type: 'text', text: 'hi' }], async (server) => {
      const base = server.url.replace(/\/v1$/, '');
      resultOf(await call(resolveModel('openai/x', { OPENAI_BASE_URL: address(base) }).client));
      return server.requests[0]?.path ?? '';
    });
  for (const suffix of ['', '/', '/v1', '/v1/']) {
    test(`of OpenAI with "${suffix}" at its end`, async () => {
      expect(await path((base) => base + suffix)).toBe('/v1/chat/completions');
    });
    test(`of Anthropic with "${suffix}" at its end`, async () => {
      await withServer(startScriptedAnthropic, [{ type: 'text', text: 'hi' }], async ({ url }) => {
        resultOf(await call(resolveModel('claude-x', { ANTHROPIC_BASE_URL: url + suffix }).client));
      });
    });
  }

  test('of LiteLLM gets every id unchanged, with its key', async () => {
    await withServer(startScriptedOpenAi, [{ type: 'text', text: 'hi' }], async (server) => {
      const credentials = { LITELLM_API_BASE: server.url, LITELLM_API_KEY: key, OPENAI_API_KEY: 'another' };
      resultOf(await call(resolveModel('kubiya/claude-sonnet-4', credentials).client));
      expect(server.requests[0]).toMatchObject({
        body: { model: 'kubiya/claude-sonnet-4' },
        headers: { authorization: `Bearer ${key}` },
      });
    });
  });

  test('of Ollama without scheme', async () => {
    await withServer(startScriptedOpenAi, [{ type: 'text', text: 'hi' }], async (server) => {
      const port = new URL(server.url).port;
      resultOf(await call(resolveModel('ollama/x', { OLLAMA_HOST: `0.0.0.0:${port}` }).client));
      expect(server.requests[0]?.body['model']).toBe('x');
      expect(server.requests[0]?.headers.authorization).toBeUndefined();
    });
  });
});

describe('discovery', () => {
  /** An Ollama as far as its list of models goes. */
  async function withOllama<T>(body: string | undefined, run: (host: string) => Promise<T>): Promise<T> {
    const server = createServer((request, response) => {
      if (body === undefined) return;
      response.statusCode = request.url === '/api/tags' ? 200 : 404;
      response.end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    try {
      return await run(`127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }
  const nobody = '127.0.0.1:9';

  test('a key comes before Ollama', async () => {
    await withOllama('{"models":[{"name":"llama3:8b"}]}', async (host) => {
      expect(await discoverProvider({ OPENAI_API_KEY: key, OLLAMA_HOST: host })).toBe('openai/gpt-5-mini');
    });
  });

  test('a running Ollama is found, with its first model', async () => {
    await withOllama('{"models":[{"name":"llama3:8b"},{"name":"other"}]}', async (host) => {
      expect(await discoverProvider({ OLLAMA_HOST: host })).toBe('ollama/llama3:8b');
      expect(await discoverProvider({ OLLAMA_HOST: `http://${host}/` })).toBe('ollama/llama3:8b');
    });
  });

  for (const [title, body, message] of [
    ['an Ollama without a model', '{"models":[]}', /ollama pull/],
    ['something else on the port', '<html>', /OLLAMA_HOST/],
    ['another list', '{"models":"x"}', /OLLAMA_HOST/],
  ] as const) {
    test(`${title} is no provider`, async () => {
      await withOllama(body, async (host) => {
        const found = discoverProvider({ OLLAMA_HOST: host });
        await expect(found).rejects.toMatchObject({
          code: 'no_provider',
          exitCode: 6,
          message: expect.stringMatching(message),
        });
      });
    });
  }

  test('something that hangs is given up after 300 ms', async () => {
    await withOllama(undefined, async (host) => {
      const startedAt = performance.now();
      await expect(discoverProvider({ OLLAMA_HOST: host })).rejects.toMatchObject({ code: 'no_provider' });
      expect(performance.now() - startedAt).toBeLessThan(1_000);
    });
  });

  test('an own server without a model named is asked about, not passed over', async () => {
    await withOllama('{"models":[{"name":"llama3:8b"}]}', async (host) => {
      const found = discoverProvider({ OPENAI_BASE_URL: 'http://127.0.0.1:9/v1', OLLAMA_HOST: host });
      await expect(found).rejects.toMatchObject({ code: 'no_model', exitCode: 6 });
    });
  });

  test('nothing is no provider, and never the offline model', async () => {
    await expect(discoverProvider({ OLLAMA_HOST: nobody })).rejects.toMatchObject({ code: 'no_provider' });
  });
});

describe('the client for every model', () => {
  test('sends each request to the provider of its model', async () => {
    await withServer(startScriptedOpenAi, [{ type: 'text', text: 'from openai' }], (openAi) =>
      withServer(startScriptedAnthropic, [{ type: 'text', text: 'from anthropic' }], async (anthropic) => {
        const client = createModelClient({ OPENAI_BASE_URL: openAi.url, ANTHROPIC_BASE_URL: anthropic.url });
        const ask = async (model: string): Promise<string> =>
          resultOf(await call(client, requestOf({ model }))).message.content;
        expect(await ask('openai/x')).toBe('from openai');
        expect(await ask('claude-x')).toBe('from anthropic');
        const offline = await call(client, requestOf({ model: 'kubiya/offline', messages: [userMessage('hello')] }));
        expect(resultOf(offline).verdict).toBe('failed');
        expect(openAi.requests[0]?.body['model']).toBe('x');
      }),
    );
  });

  test('a model without a key on this worker is a failure that no retry changes', async () => {
    const failure = failureOf(await call(createModelClient({}), requestOf({ model: 'openai/x' })));
    expect(failure.kind).toBe('authentication');
    expect(failure.message).toContain('OPENAI_API_KEY');
  });
});

test('a model server on this machine is asked directly, whatever HTTP_PROXY says', async () => {
  const proxied: string[] = [];
  const proxy = createServer((request, response) => {
    proxied.push(request.url ?? '');
    response.writeHead(502).end();
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const address = proxy.address();
  const before = process.env['HTTP_PROXY'];
  process.env['HTTP_PROXY'] = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  try {
    await withServer(startScriptedOpenAi, [{ type: 'text', text: 'direct' }], async ({ url }) => {
      const { client } = resolveModel('openai/x', { OPENAI_BASE_URL: url });
      expect(resultOf(await call(client)).message.content).toBe('direct');
    });
    await expect(discoverProvider({ OLLAMA_HOST: '127.0.0.1:9' })).rejects.toMatchObject({ code: 'no_provider' });
    expect(proxied).toEqual([]);
  } finally {
    if (before === undefined) delete process.env['HTTP_PROXY'];
    else process.env['HTTP_PROXY'] = before;
    proxy.close();
  }
});
