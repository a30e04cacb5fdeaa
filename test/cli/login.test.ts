// `kubiya login` and `logout` as real processes against an identity provider over real HTTP; the test is the browser.
import { afterAll, afterEach, beforeAll, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { childEnvironment, commandOf, createHome, type Home } from '../support/binary.ts';
import { type IdentityProvider, startIdentityProvider, tokenOf } from '../support/identity-provider.ts';
import { type CommandOptions, type CommandResult, runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';

/** The first test may have to build the binary. */
setDefaultTimeout(60_000);

let home: Home;
let provider: IdentityProvider;
let port: number;
beforeAll(async () => {
  provider = await startIdentityProvider();
});
afterAll(() => provider.stop());
beforeEach(async () => {
  home = createHome();
  port = await freePort();
  provider.override = undefined;
  provider.claims = {};
});
afterEach(() => home.remove());

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port: free } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return free;
}

const configFile = (): string => join(home.kubiyaHome, 'config');
const stored = (): string => (existsSync(configFile()) ? readFileSync(configFile(), 'utf8') : '');

function login(
  words: readonly string[],
  options: Partial<CommandOptions>,
  browse?: (authorizationUrl: string) => Promise<void>,
): Promise<CommandResult> {
  return runCommand(['login', ...words], {
    home,
    ...options,
    environment: { KUBIYA_LOGIN_ISSUER: provider.url, KUBIYA_LOGIN_PORT: String(port), ...options.environment },
    ...(browse === undefined
      ? {}
      : {
          during: async (_child, printed) => {
            let url = '';
            await until(() => (url = /sign in at (\S+)/.exec(printed().stderr)?.[1] ?? '') !== '', {
              limitMs: 20_000,
              what: () => `the address in ${JSON.stringify(printed())}`,
            });
            await browse(url);
          },
        }),
  });
}

/** One request as a browser or somebody else sends it. */
function send(
  url: string | URL,
  options: { method?: string; host?: string; body?: string } = {},
): Promise<{ status: number; body: string; headers: NodeJS.Dict<string | string[]> }> {
  return new Promise((done, fail) => {
    const headers = options.host === undefined ? {} : { host: options.host };
    const sent = request(url, { method: options.method ?? 'GET', headers }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => done({ status: response.statusCode ?? 0, body, headers: response.headers }));
    });
    sent.on('error', fail);
    sent.end(options.body);
  });
}

test('signs in: a page for the browser, a context with the token, nothing of it on the screen', async () => {
  provider.claims = { email: 'me@acme.example', organization: 'acme' };
  let page: Awaited<ReturnType<typeof send>> | undefined;
  const result = await login([], {}, async (url) => {
    const asked = new URL(url);
    expect(asked.pathname).toBe('/authorize');
    const { state, nonce, code_challenge, ...fixed } = Object.fromEntries(asked.searchParams);
    expect(fixed).toEqual({
      response_type: 'code',
      client_id: 'SxpP9OU7VSvvPivHFQY5Get3uC1Bx4Jf',
      redirect_uri: `http://127.0.0.1:${port}/callback`,
      scope: 'openid profile email',
      audience: 'https://kubiya.ai/api',
      code_challenge_method: 'S256',
    });
    for (const random of [state, nonce, code_challenge]) expect(random).toMatch(/^[\w-]{43}$/);
    page = await send(provider.signIn(url).redirect);
  });
  expect(result).toMatchObject({ code: 0, stdout: '' });
  expect(page?.status).toBe(200);
  expect(page?.body).toContain('You are signed in');
  expect(page?.body).not.toContain('<script');
  expect(page?.headers['content-security-policy']).toContain("default-src 'none'");
  expect(page?.headers['cache-control']).toBe('no-store');
  expect(provider.requests.at(-1)?.contentType).toBe('application/x-www-form-urlencoded');
  const token = /token: (\S+)/.exec(stored())?.[1] ?? '';
  expect(token.split('.')).toHaveLength(3);
  expect(result.stderr).toContain('signed in as me@acme.example; the context acme has the token until');
  expect(result.stderr).not.toContain(token);
  expect(stored()).toContain('current-context: acme');
  expect(stored()).toContain('api-url: https://control-plane.kubiya.ai');
  expect(statSync(configFile()).mode & 0o777).toBe(0o600);

  const out = await runCommand(['logout', '--json'], { home });
  expect(JSON.parse(out.stdout)).toEqual({ context: 'acme', had_token: true });
  expect(stored()).not.toContain(token);
  const again = await runCommand(['logout'], { home });
  expect(again).toMatchObject({ code: 0, stderr: 'the context acme had no token\n' });
});

test('--context and --control-plane-url are kept, --json has no token, a nearer key is mentioned', async () => {
  const words = ['--json', '--no-browser', '--context', 'lab', '--control-plane-url', 'https://lab.example'];
  const result = await login(words, { environment: { KUBIYA_API_KEY: 'k' } }, async (url) => {
    await send(provider.signIn(url).redirect);
  });
  expect(result.code).toBe(0);
  const answer = JSON.parse(result.stdout) as Record<string, unknown>;
  expect(answer).toEqual({
    context: 'lab',
    user: 'auth0|1',
    organization: null,
    expires_at: expect.any(String) as string,
  });
  expect(stored()).toContain('api-url: https://lab.example');
  const plain = await login(['--context', 'lab'], { environment: { KUBIYA_API_KEY: 'k' } }, async (url) => {
    await send(provider.signIn(url).redirect);
  });
  expect(plain.stderr).toContain('KUBIYA_API_KEY is set and comes before the context');
  expect(stored().match(/- name: lab/g)).toHaveLength(1);
});

test('only the right answer counts: others in between change nothing, and a second one is refused', async () => {
  const seen: number[] = [];
  const before = provider.requests.length;
  const result = await login([], {}, async (url) => {
    const { redirect } = provider.signIn(url);
    const other = new URL(redirect);
    other.searchParams.set('state', 'x'.repeat(43));
    const none = new URL(redirect);
    none.searchParams.delete('state');
    const noCode = new URL(redirect);
    noCode.searchParams.delete('code');
    const denied = new URL(other);
    denied.searchParams.set('error', 'access_denied');
    for (const wrong of [other, none, noCode, denied]) seen.push((await send(wrong)).status);
    seen.push((await send(redirect, { method: 'POST', body: 'code=x' })).status);
    seen.push((await send(redirect, { host: `attacker.example:${port}` })).status);
    seen.push((await send(redirect, { host: `localhost:${port}` })).status);
    seen.push((await send(new URL('/', redirect))).status);
    // Two at once with the right state: the login is that of the first.
    const both = await Promise.all([send(redirect), send(redirect).catch(() => ({ status: 0 }))]);
    seen.push(...both.map(({ status }) => status));
  });
  expect(seen.slice(0, 9)).toEqual([400, 400, 400, 400, 405, 421, 421, 404, 200]);
  expect([0, 409]).toContain(seen[9] ?? -1);
  expect(result.code).toBe(0);
  expect(provider.requests.length - before).toBe(1);
});

test('listens on loopback only', async () => {
  const result = await login([], {}, async (url) => {
    const refused = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.2', () => done(false));
      socket.on('error', () => done(true));
    });
    expect(refused).toBe(true);
    await send(provider.signIn(url).redirect);
  });
  expect(result.code).toBe(0);
});

test('access denied ends it with what the provider says, cleaned', async () => {
  let page = '';
  const result = await login([], {}, async (url) => {
    const { redirect } = provider.signIn(url);
    redirect.searchParams.delete('code');
    redirect.searchParams.set('error', 'access_denied');
    redirect.searchParams.set('error_description', 'no \u001B[31mentry\nhere <b>');
    page = (await send(redirect)).body;
  });
  expect(result.code).toBe(3);
  expect(result.stderr).toContain('error: the identity provider refused the login: no [31mentry here <b>');
  expect(page).toContain('The login has failed');
  expect(page).not.toContain('<b>');
  expect(stored()).toBe('');
});

const brokenTokens: readonly (readonly [string, Record<string, unknown>, string])[] = [
  ['another nonce', { nonce: 'x' }, 'made for another login'],
  ['another audience', { aud: ['x'] }, 'made for another program'],
  ['no end', { exp: undefined }, 'does not say until when'],
  ['an end that is over', { exp: 1000 }, 'is over already'],
];
test.each(brokenTokens)('a token with %s is refused', async (_what, claims, words) => {
  provider.claims = claims;
  const result = await login([], {}, async (url) => void (await send(provider.signIn(url).redirect)));
  expect(result.code).toBe(3);
  expect(result.stderr).toContain(words);
  expect(stored()).toBe('');
});

const brokenAnswers: readonly (readonly [string, number, (response: ServerResponse) => void, string])[] = [
  [
    '400',
    3,
    (response) => response.writeHead(400).end('{"error":"invalid_grant","error_description":"used code"}'),
    'used code',
  ],
  ['500', 5, (response) => response.writeHead(500).end('<html>'), 'is not able to answer (500)'],
  ['no JSON', 3, (response) => response.writeHead(200).end('<html>'), 'holds no token'],
  ['a token that is none', 3, (response) => response.writeHead(200).end('{"id_token":"abc"}'), 'cannot be read'],
  [
    'a redirect',
    5,
    (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    'redirects elsewhere',
  ],
  [
    'a cut',
    5,
    (response) => response.writeHead(200, { 'content-length': '99' }).write('{', () => response.destroy()),
    'could not reach',
  ],
];
test.each(brokenAnswers)('a token endpoint that answers with %s', async (_what, code, override, words) => {
  provider.override = override;
  const result = await login([], {}, async (url) => void (await send(provider.signIn(url).redirect)));
  expect(result.stderr).toContain(words);
  expect(result.code).toBe(code);
  expect(stored()).toBe('');
});

test('a taken port is said at once, also to the second of two logins', async () => {
  const holder: Server = createServer();
  await new Promise<void>((done) => holder.listen(port, '127.0.0.1', done));
  const refused = await login([], {});
  expect(refused.code).toBe(6);
  expect(refused.stderr).toContain(`the port ${port} of this machine is taken`);
  await new Promise((done) => holder.close(done));
  let second: CommandResult | undefined;
  const first = await login([], {}, async (url) => {
    second = await login([], {});
    await send(provider.signIn(url).redirect);
  });
  expect([first.code, second?.code]).toEqual([0, 6]);
});

test('opens the browser of a desktop, and none over SSH or where there is no desktop', async () => {
  const bin = join(home.directory, 'bin');
  const seen = join(home.directory, 'opened');
  mkdirSync(bin);
  writeFileSync(join(bin, 'xdg-open'), `#!/bin/sh\nprintf '%s\\n' "$1" >> ${seen}\n`);
  chmodSync(join(bin, 'xdg-open'), 0o755);
  const PATH = `${bin}:${process.env['PATH'] ?? ''}`;
  const answer = async (url: string): Promise<void> => void (await send(provider.signIn(url).redirect));
  for (const environment of [{ PATH }, { PATH, DISPLAY: ':0', SSH_CONNECTION: '1 2 3 4' }]) {
    const result = await login([], { environment }, answer);
    expect(result.stderr).toContain('no browser could be opened here');
  }
  await login(['--no-browser'], { environment: { PATH, DISPLAY: ':0' } }, answer);
  expect(existsSync(seen)).toBe(false);
  await login([], { environment: { PATH, DISPLAY: ':0' } }, async (url) => {
    await until(() => existsSync(seen), { limitMs: 5_000, what: () => 'the opener' });
    expect(readFileSync(seen, 'utf8')).toBe(`${url}\n`);
    await answer(url);
  });
});

test('an identity provider elsewhere is not spoken to in the clear', async () => {
  const result = await runCommand(['login', '--no-browser'], {
    home,
    environment: { KUBIYA_LOGIN_ISSUER: 'http://127.0.0.1.example.com', KUBIYA_LOGIN_PORT: String(port) },
  });
  expect(result).toMatchObject({ code: 6, stdout: '' });
  expect(result.stderr).toContain('KUBIYA_LOGIN_ISSUER must begin with https://, unless it is on this machine');
});

test('Ctrl+C ends it and frees the port', async () => {
  const result = await runCommand(['login', '--no-browser'], {
    home,
    environment: { KUBIYA_LOGIN_ISSUER: provider.url, KUBIYA_LOGIN_PORT: String(port) },
    during: async (child, printed) => {
      await until(() => printed().stderr.includes('sign in at'), { limitMs: 20_000, what: () => 'the address' });
      child.kill('SIGINT');
    },
  });
  expect(result.code).toBe(130);
  expect(stored()).toBe('');
});

test('on a terminal the address of the browser can be pasted', async () => {
  let screen = '';
  const started = Bun.spawn(commandOf(['login', '--no-browser'], { home }), {
    cwd: home.directory,
    env: {
      ...childEnvironment({ home }),
      TERM: 'xterm',
      KUBIYA_LOGIN_ISSUER: provider.url,
      KUBIYA_LOGIN_PORT: String(port),
    },
    terminal: { cols: 800, rows: 24, data: (_terminal, data) => void (screen += Buffer.from(data).toString()) },
  });
  const shows = (words: string): Promise<void> =>
    until(() => screen.includes(words), { limitMs: 20_000, what: () => `${words} on ${JSON.stringify(screen)}` });
  await shows('paste the address here');
  const { redirect } = provider.signIn(/sign in at (\S+)/.exec(screen)?.[1] ?? '');
  const wrong = new URL(redirect);
  wrong.searchParams.set('state', 'x');
  started.terminal?.write(`${wrong.href}\n`);
  await shows('that is not the address: its state is another one');
  started.terminal?.write(`${redirect.href}\n`);
  expect(await started.exited).toBe(0);
  await shows('signed in as auth0|1; the context kubiya has the token');
  expect(stored()).toContain('current-context: kubiya');
});

test('an expired token of a context is said with its remedy, and only there', async () => {
  mkdirSync(home.kubiyaHome, { mode: 0o700 });
  const token = tokenOf({ exp: 1_700_000_000 });
  writeFileSync(
    configFile(),
    `current-context: old\ncontexts: [{name: old, context: {user: me}}]\nusers: [{name: me, user: {token: ${token}}}]\n`,
    { mode: 0o600 },
  );
  const refused = await runCommand(['agent', 'list'], { home });
  expect(refused.code).toBe(3);
  expect(refused.stderr).toBe(
    'error: the token of the context old expired at 2023-11-14T22:13:20.000Z\nhint: get a new one with `kubiya login`\n',
  );
  const contexts = await runCommand(['config', 'get-contexts', '--json'], { home });
  expect(JSON.parse(contexts.stdout)).toMatchObject([{ name: 'old', is_current: true, token: 'expired' }]);
  expect((await runCommand(['config', 'show'], { home })).code).toBe(0);
  expect((await runCommand(['agent', 'list', '--local-server'], { home })).code).toBe(5);
});
