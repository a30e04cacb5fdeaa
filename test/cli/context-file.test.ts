// What a context file may hold and what its commands make of it: aliases, odd names, remains, secrets in unusual places.
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { createHome, type Home } from '../support/binary.ts';
import { type CommandOptions, type CommandResult, runCommand } from '../support/run-binary.ts';

/** The first test may have to build the binary. */
setDefaultTimeout(60_000);

let home: Home;
beforeEach(() => {
  home = createHome();
  mkdirSync(home.kubiyaHome, { mode: 0o700 });
});
afterEach(() => home.remove());

const file = (): string => join(home.kubiyaHome, 'config');
const kubiya = (words: string, options: Partial<CommandOptions> = {}): Promise<CommandResult> =>
  runCommand(words.split(' '), { home, ...options });
const write = (text: string): void => writeFileSync(file(), text, { mode: 0o600 });
const read = (): string => readFileSync(file(), 'utf8');

const small = `contexts: [{name: prod, context: {user: u}}, {name: lab, context: {user: u}}]
users: [{name: u, user: {token: lab-secret-token}}]
`;

describe('aliases', () => {
  const shared = `x: &t sk-alias-secret
note: "again: sk-plain-secret"
contexts:
- name: a
  context: {api-url: 'https://a.example', user: u}
- name: b
  context: &b {api-url: 'https://b.example', user: v}
- name: c
  context: *b
users:
- name: u
  user: {token: *t}
- name: v
  user: {token: sk-plain-secret}
x-url: https://me:url-secret@host.example/
`;
  const contextsOf = (text: string): unknown =>
    (parse(text) as { contexts: { name: string; context: unknown }[] }).contexts;

  test('view shows no secret that stands elsewhere in the file', async () => {
    write(shared);
    const data = await kubiya('config view --json');
    const text = await kubiya('config view');
    for (const { stdout } of [data, text])
      for (const secret of ['alias-secret', 'plain-secret', 'url-secret']) expect(stdout).not.toContain(secret);
    expect(JSON.parse(data.stdout)).toMatchObject({
      note: 'again: [redacted]',
      'x-url': 'https://[redacted]@host.example/',
      users: [
        { name: 'u', user: { token: '[redacted]' } },
        { name: 'v', user: { token: '[redacted]' } },
      ],
    });
    expect(JSON.parse((await kubiya('config view --json --raw')).stdout)).toEqual(parse(shared));
  });

  test('a change of one context is none of another', async () => {
    write(shared);
    await kubiya('config set-context c --api-url https://c.example');
    expect(contextsOf(read())).toMatchObject([
      { name: 'a' },
      { name: 'b', context: { 'api-url': 'https://b.example', user: 'v' } },
      { name: 'c', context: { 'api-url': 'https://c.example', user: 'v' } },
    ]);
    expect(read()).toContain('{token: *t}');
  });

  test('what others refer to can be removed', async () => {
    write(shared);
    expect(await kubiya('config delete-context b')).toMatchObject({ code: 0 });
    expect(contextsOf(read())).toEqual([
      { name: 'a', context: { 'api-url': 'https://a.example', user: 'u' } },
      { name: 'c', context: { 'api-url': 'https://b.example', user: 'v' } },
    ]);
    await kubiya('config set-context a --token-file -', { stdin: 'new-token' });
    expect(read()).toContain('x: &t sk-alias-secret');
    expect(read()).toContain('{token: new-token}');
  });

  test('a merge key counts, as it does for other programs', async () => {
    write(`d: &d {api-url: 'https://lab.example', user: u}
current-context: lab
contexts: [{name: lab, context: {<<: *d}}]
users: [{name: u, user: {token: merged-token}}]
`);
    expect(JSON.parse((await kubiya('config get-contexts --json')).stdout)).toMatchObject([
      { name: 'lab', api_url: 'https://lab.example', user: 'u', token: 'set' },
    ]);
    expect((await kubiya('logout')).stderr).toContain('the token of lab is removed');
    expect(read()).not.toContain('merged-token');
  });
});

describe('names', () => {
  test.each(['null', '~', 'true', '123', '@x', '<<', 'a#b', '😀'])('the name %s is what it was', async (name) => {
    const made = await kubiya(`config set-context ${name} --user ${name} --organization ${name} --token-file -`, {
      stdin: '0123',
    });
    expect(made.code).toBe(0);
    await kubiya(`config use-context ${name}`);
    expect((await kubiya('config current-context')).stdout).toBe(`${name}\n`);
    const listed = JSON.parse((await kubiya('config get-contexts --json')).stdout) as unknown;
    expect(listed).toMatchObject([{ name, user: name, organization: name, token: 'set', is_current: true }]);
    expect(parse(read())).toMatchObject({ users: [{ name, user: { token: '0123' } }] });
  });

  test.each(['\u001b[31mred', 'two\nlines', 'n'.repeat(201)])('the name %j is refused', async (name) => {
    write(small);
    for (const words of [['set-context'], ['rename-context', 'prod']]) {
      const refused = await runCommand(['config', ...words, name], { home });
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain('a name has a control character or more than 200 characters');
    }
    expect(read()).toBe(small);
  });

  test('what a writer that was killed has left is removed, that of a present one is not', async () => {
    const [old, young] = ['old', 'young'].map((name) => join(home.kubiyaHome, `.config.${name}.tmp`)) as [
      string,
      string,
    ];
    for (const path of [old, young]) writeFileSync(path, 'token: secret');
    utimesSync(old, 0, 0);
    await kubiya('config set-context a');
    expect(readdirSync(home.kubiyaHome).filter((name) => name.endsWith('.tmp'))).toEqual(['.config.young.tmp']);
  });
});

test.each(['', '# nothing yet\n'])('view of the file %j', async (text) => {
  if (text !== '') write(text);
  expect(await kubiya('config view --json')).toMatchObject({ code: 0, stdout: '{}\n' });
  expect(await kubiya('config view')).toMatchObject({ code: 0, stdout: text });
});

describe('what is said', () => {
  test('a password in a URL that is none is not shown', async () => {
    for (const url of ['http://u:hidden-word@host:99999', 'http://u:hidden/word@host']) {
      const { code, stderr } = await kubiya('config show', { environment: { CONTROL_PLANE_URL: url } });
      expect(code).toBe(6);
      expect(stderr).toContain('CONTROL_PLANE_URL must be');
      expect(stderr).not.toContain('hidden');
    }
    const environment = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://otel.example/v1?key=hidden' };
    const shown = await kubiya('config show', { environment });
    expect(shown.stdout).toContain('https://otel.example/v1?[redacted]');
  });

  test('the token of a context does not speak for a key file that comes before it', async () => {
    const expired = `h.${Buffer.from('{"exp":1}').toString('base64url')}.s`;
    writeFileSync(
      file(),
      `current-context: a\ncontexts: [{name: a, context: {user: u}}]\nusers: [{name: u, user: {token: t-000}}]\n`,
      { mode: 0o644 },
    );
    const key = join(home.directory, 'key');
    writeFileSync(key, expired, { mode: 0o600 });
    const environment = { KUBIYA_API_KEY_FILE: key, CONTROL_PLANE_URL: 'http://127.0.0.1:1' };
    const { stderr } = await kubiya('agent list', { environment });
    expect(stderr).toContain('could not reach');
    expect(stderr).not.toContain('expired');
    expect(stderr).not.toContain('other users');
  });

  test('a key of the environment that comes before the context of --context is told', async () => {
    write(small);
    const environment = { KUBIYA_API_KEY: 'environment-key' };
    const { stderr } = await kubiya('config show --context lab', { environment });
    expect(stderr).toContain('warning: KUBIYA_API_KEY comes before the token of the context lab');
    expect((await kubiya('config show', { environment })).stderr).not.toContain('comes before');
  });
});
