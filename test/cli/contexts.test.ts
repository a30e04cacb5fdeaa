// The context file through the commands, as real processes: what is kept, what is changed, what is refused and where.
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
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
const write = (text: string | Uint8Array): void => writeFileSync(file(), text, { mode: 0o600 });
const read = (): string => readFileSync(file(), 'utf8');

/** As another program writes it, with things that we know nothing about. */
const theirs = `# mine
apiVersion: v1
kind: Config
current-context: prod # since May
contexts:
    - name: prod
      context:
        api-url: https://control-plane.kubiya.ai
        organization: acme
        user: me@acme
        use-v1-api: false
        litellm-proxy:
            enabled: true
            config-json: '{"model_list": [{"litellm_params": {"api_key": "sk-in-json"}}]}'
    # the other one
    - name: "lab"
      context: {api-url: "https://lab.example", user: me@lab}
users:
    - name: me@acme
      user:
        token: 0123456789
    - name: me@lab
      user: {token: lab-secret-token}
organizations:
    - name: acme
      organization: {id: o1, name: Acme}
x-later: [a, b]
`;

describe('a file of another program', () => {
  beforeEach(() => write(theirs));

  test('is read: the current context, that of KUBIYA_CONTEXT and that of --context wherever it stands', async () => {
    const shown = async (words: string, KUBIYA_CONTEXT?: string): Promise<unknown> => {
      const { stdout } = await kubiya(words, { environment: { KUBIYA_CONTEXT } });
      const { settings } = JSON.parse(stdout) as { settings: { name: string; value: unknown; origin: unknown }[] };
      const { value, origin } = settings.find(({ name }) => name === 'controlPlaneUrl') ?? {};
      return [value, origin];
    };
    const at = (name: string, place: string): unknown => ({ kind: 'context', name, location: `${file()}:${place}` });
    expect(await shown('config show --json')).toEqual(['https://control-plane.kubiya.ai', at('prod', '8:18')]);
    const lab = ['https://lab.example', at('lab', '17:26')];
    expect(await shown('config show --json', 'lab')).toEqual(lab);
    expect(await shown('--context lab config show --json', 'prod')).toEqual(lab);
    expect(await shown('config show --json --context=lab', 'nobody')).toEqual(lab);
  });

  test('a key of the environment comes before that of the context', async () => {
    const { stderr } = await kubiya('config show', { environment: { KUBIYA_API_KEY: 'k' } });
    expect(stderr).toContain('profile  cloud: KUBIYA_API_KEY is set');
  });

  test('a change keeps comments, order and keys that are not ours', async () => {
    await kubiya('config use-context lab');
    expect(read()).toContain('current-context: lab # since May');
    await kubiya('config set-context prod --organization other');
    await kubiya('config rename-context lab lab2');
    const text = read();
    for (const kept of [
      '# mine',
      '# the other one',
      'x-later: [a, b]',
      'token: 0123456789',
      'organization: {id: o1, name: Acme}',
    ])
      expect(text).toContain(kept);
    const before = parse(theirs) as { contexts: { name: string; context: Record<string, unknown> }[] };
    const after: unknown = parse(text);
    expect(after).toEqual({
      ...before,
      'current-context': 'lab2',
      contexts: [
        {
          name: 'prod',
          context: {
            ...before.contexts[0]?.context,
            organization: 'other',
          },
        },
        { name: 'lab2', context: { 'api-url': 'https://lab.example', user: 'me@lab' } },
      ],
    });
  });

  test('what changes nothing does not write', async () => {
    await kubiya('config use-context prod');
    const { ino } = statSync(file());
    await kubiya('config use-context prod');
    expect(statSync(file()).ino).toBe(ino);
  });

  test('delete-context takes the entry, not the user, and no context is current', async () => {
    const deleted = await kubiya('config delete-context prod --json');
    expect(JSON.parse(deleted.stdout)).toEqual({ name: 'prod', was_current: true });
    expect(read()).toContain('token: 0123456789');
    const current = await kubiya('config current-context');
    expect(current).toMatchObject({ code: 6, stdout: '' });
    expect(current.stderr).toContain('no context is the current one');
    const again = await kubiya('config delete-context prod');
    expect(again.code).toBe(6);
    expect(again.stderr).toContain('hint: the contexts are lab');
  });

  test('get-contexts and view show no token, view --raw does', async () => {
    const listed = await kubiya('config get-contexts');
    expect(listed.stdout).toMatchInlineSnapshot(`
      "   NAME  ORGANIZATION  USER     TOKEN  API URL
      *  prod  acme          me@acme  set    https://control-plane.kubiya.ai
         lab   -             me@lab   set    https://lab.example
      "
    `);
    for (const words of ['config view', 'config view --json', 'config get-contexts --json', 'config show --json']) {
      const { stdout, stderr } = await kubiya(words);
      for (const secret of ['0123456789', 'lab-secret-token', 'sk-in-json'])
        expect(stdout + stderr).not.toContain(secret);
    }
    const view = await kubiya('config view');
    expect(view.stdout).toContain('# since May');
    expect((parse(view.stdout) as { users: unknown[] }).users).toEqual([
      { name: 'me@acme', user: { token: '[redacted]' } },
      { name: 'me@lab', user: { token: '[redacted]' } },
    ]);
    expect((await kubiya('config view --raw')).stdout).toBe(theirs);
  });

  test('a token that a comment repeats is not shown either', async () => {
    write(`${theirs}# before: lab-secret-token, eyJhbGciOiJub25lIn0.eyJhIjoxfQ.c2ln\n`);
    const { stdout } = await kubiya('config view');
    expect(stdout).toContain('# before: [redacted], [redacted]');
  });

  test('line ends of Windows stay, also behind a byte order mark', async () => {
    write(`\uFEFF${theirs.replaceAll('\n', '\r\n')}`);
    expect((await kubiya('config use-context lab')).code).toBe(0);
    expect(read().replaceAll('\r\n', '')).not.toContain('\n');
    expect((await kubiya('config current-context')).stdout).toBe('lab\n');
  });
});

describe('writing', () => {
  test('a new file is 0600 whatever the umask, with the token from stdin, a file or, with a warning, the command line', async () => {
    const fromStdin = await kubiya('config set-context a --token-file -', {
      stdin: 'stdin-token\n',
      prefix: ['sh', '-c', 'umask 0; exec "$@"', 'sh'],
    });
    expect(fromStdin.code).toBe(0);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    writeFileSync(join(home.directory, 'key'), 'file-token\r\n');
    expect((await kubiya('config set-context b --token-file key --user me --json')).stdout).toBe(
      '{"name":"b","user":"me","is_new":true,"is_current":false}\n',
    );
    const shown = await kubiya('config set-context c --token typed-token --use-v1-api');
    expect(shown.stderr).toContain('warning: other users can see --token');
    expect(fromStdin.stderr + shown.stderr).not.toMatch(/stdin-token|typed-token/);
    expect(parse(read())).toEqual({
      apiVersion: 'v1',
      kind: 'Config',
      contexts: ['a', 'b', 'c'].map((name) => ({
        name,
        context: {
          user: name === 'b' ? 'me' : name,
          ...(name === 'c' ? { 'use-v1-api': true } : {}),
          'api-url': 'https://control-plane.kubiya.ai',
        },
      })),
      users: [
        { name: 'a', user: { token: 'stdin-token' } },
        { name: 'me', user: { token: 'file-token' } },
        { name: 'c', user: { token: 'typed-token' } },
      ],
    });
  });

  test.each([
    ['config set-context a --token-file -', '', 'the token is empty'],
    ['config set-context a --token-file -', 'two words', 'the token has a blank'],
    ['config set-context a --token-file -', 'x'.repeat(100_000), 'the token is too long'],
    ['config set-context a --token x --token-file -', 'x', '--token and --token-file are both given'],
    ['config set-context a --api-url ftp://x', '', '--api-url must be a URL'],
    ['config set-context a --api-url https://u:p@x', '', '--api-url must not hold a user name or a password'],
    ['config use-context', '', 'the argument <name> is missing'],
  ])('%s is refused and writes nothing', async (words, stdin, message) => {
    const result = await kubiya(words, { stdin });
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(message);
    expect(readdirSync(home.kubiyaHome).filter((name) => name.startsWith('config') && !name.includes('lock'))).toEqual(
      [],
    );
  });

  test('a token file that is missing or a directory', async () => {
    for (const [path, words] of [
      ['gone', 'no such file'],
      ['.', 'is a directory'],
    ] as const) {
      const result = await kubiya(`config set-context a --token-file ${path}`);
      expect(result.code).toBe(6);
      expect(result.stderr).toContain(words);
    }
  });

  test('a symbolic link stays one, also before its target exists', async () => {
    const target = join(home.directory, 'dotfiles', 'kubiya');
    symlinkSync(target, file());
    expect((await kubiya('config set-context a')).code).toBe(0);
    expect((await kubiya('config use-context a')).code).toBe(0);
    expect(lstatSync(file()).isSymbolicLink()).toBe(true);
    expect(readFileSync(target, 'utf8')).toContain('current-context: a');
  });

  test('twenty at once: every change is there, and nothing is beside the file', async () => {
    const names = Array.from({ length: 20 }, (_value, index) => `c${index}`);
    const results = await Promise.all(names.map((name) => kubiya(`config set-context ${name} --token t-${name}`)));
    expect(results.map(({ code }) => code)).toEqual(names.map(() => 0));
    const { contexts, users } = parse(read()) as { contexts: { name: string }[]; users: { name: string }[] };
    expect(contexts.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    expect(users).toHaveLength(names.length);
    expect(readdirSync(home.kubiyaHome).toSorted()).toEqual(['config', 'config.lock']);
  });

  test('KUBIYA_CONFIG names another file, whose directory is made', async () => {
    const KUBIYA_CONFIG = join(home.directory, 'deep', 'er', 'contexts');
    await kubiya('config set-context a', { environment: { KUBIYA_CONFIG } });
    expect((await kubiya('config path', { environment: { KUBIYA_CONFIG } })).stdout).toBe(`${KUBIYA_CONFIG}\n`);
    expect(readFileSync(KUBIYA_CONFIG, 'utf8')).toContain('name: a');
    expect((await kubiya('config get-contexts --json')).stdout).toBe('[]\n');
    const nothing = await kubiya('config get-contexts', { environment: { KUBIYA_CONFIG: '/dev/null' } });
    expect(nothing).toMatchObject({ code: 0, stdout: '' });
    // Nothing that is written to goes in the place of a device.
    const device = join(home.directory, 'device');
    symlinkSync('/dev/null', device);
    const refused = await kubiya('config set-context a', { environment: { KUBIYA_CONFIG: device } });
    expect(refused.code).toBe(6);
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });
});

describe('a file that is wrong', () => {
  const secret = 'very-secret-token';
  test.each([
    ['a tab', `contexts:\n\t- name: ${secret}\n`, ':2:1: Tabs are not allowed as indentation (YAML)'],
    ['no end of a text', `users: [{name: a, user: {token: "${secret}}]\n`, 'Missing closing "quote (YAML)'],
    ['a list', `- ${secret}\n`, ':1:1: the file must be a map'],
    [
      'a token that is a list',
      `users:\n  - name: a\n    user:\n      token: [${secret}]\n`,
      ':4:14: token must be a text',
    ],
    ['no name', `contexts:\n  - context: {user: ${secret}}\n`, ':2:5: name must be given'],
    ['a name twice', 'contexts:\n  - name: a\n  - name: a\n', ':3:11: a second one of the contexts has the name "a"'],
    ['a user twice', 'users:\n  - name: u\n  - name: u\n', ':3:11: a second one of the users has the name "u"'],
    ['a key twice', `contexts: []\ncontexts: [${secret}]\n`, ':2:1: Map keys must be unique (YAML)'],
    ['an alias of what it stands in', 'a: &a\n  b: *a\n', 'cannot be resolved'],
    ['an alias of nothing', 'contexts: *gone\n', 'an alias in the file cannot be resolved'],
    [
      'a bomb',
      `a: &a [${'x,'.repeat(99)}]\nb: &b [${'*a,'.repeat(99)}]\nc: [${'*b,'.repeat(99)}]\n`,
      'cannot be resolved',
    ],
    [
      'another current context',
      'current-context: prod\ncontexts: [{name: a}, {name: b}]\n',
      ':1:18: the current context "prod" does not exist; it has a, b',
    ],
    ['two documents', `a: 1\n---\n${secret}: 1\n`, 'multiple documents'],
  ])('%s is told with its place, never with a token', async (_what, text, words) => {
    write(text);
    const result = await kubiya('agent list');
    expect(result.code).toBe(6);
    expect(result.stderr).toContain(words);
    expect(result.stderr).toContain(file());
    expect(result.stderr).toContain('hint: correct the file, or set KUBIYA_CONFIG to another one');
    expect(result.stderr).not.toContain(secret);
    // A command that could make it worse touches nothing; one that needs no context does not care.
    if (!text.startsWith('current')) {
      expect((await kubiya('config set-context x')).code).toBe(6);
      // Of a file that is YAML and no context file it shows what is there.
      expect([0, 6]).toContain((await kubiya('config view --json')).code ?? -1);
      expect(read()).toBe(text);
    }
    expect((await kubiya('server status')).code).toBe(1);
  });

  test.each([
    ['binary', () => write(new Uint8Array([0x6b, 0, 1, 2])), 'is not text'],
    ['latin', () => write(new Uint8Array([0x23, 0xe4, 0xf6, 0x0a])), 'is not UTF-8 text'],
    ['a directory', () => mkdirSync(file()), 'is a directory'],
    ['a pipe', () => void spawnSync('mkfifo', [file()]), 'is not a regular file'],
    [
      'a disk image',
      () => {
        write('');
        truncateSync(file(), 100 * 1024 * 1024);
      },
      'is larger than 1024 KiB',
    ],
  ])('%s', async (_what, make, words) => {
    make();
    const result = await kubiya('agent list');
    expect(result.code).toBe(6);
    expect(result.stderr).toContain(`error: ${file()}: ${words}`);
    expect(result.durationMs).toBeLessThan(5_000);
  });

  test('everything at once: the file, a flag and a variable in one message', async () => {
    write('contexts:\n  - name: a\n    context:\n      api-url: nowhere\n      user: u\ncurrent-context: a\n');
    const result = await kubiya('worker start --queue-id q --max-memory lots', {
      environment: { HEARTBEAT_INTERVAL: '3', KUBIYA_API_KEY_FILE: '/nowhere/key', HTTPS_PROXY: 'socks5://u:pass@x' },
    });
    expect(result.code).toBe(6);
    const lines = result.stderr.split('\n');
    expect(lines[0]).toBe('error: 5 settings are wrong:');
    for (const words of [
      `${file()}:4:16 (context a) must be a URL that begins with http:// or https://, not "nowhere"`,
      '--max-memory must be a size such as 512Mi or 2Gi',
      'HEARTBEAT_INTERVAL must be a whole number from 15 to 300 seconds, not "3"',
      'KUBIYA_API_KEY_FILE names a file that cannot be read',
      'HTTPS_PROXY must be the URL of an HTTP proxy',
    ])
      expect(result.stderr).toContain(words);
    expect(result.stderr).not.toContain('pass');
  });

  test('a token that others can read is warned about, once', async () => {
    write(theirs);
    chmodSync(file(), 0o644);
    const { stderr } = await kubiya('config show');
    expect(stderr.match(/warning: other users of this machine can read the token/g)).toHaveLength(1);
    chmodSync(file(), 0o600);
    expect((await kubiya('config show')).stderr).not.toContain('warning');
  });

  test('a key that goes without encryption to another machine is warned about', async () => {
    const environment = { KUBIYA_API_KEY: 'k', CONTROL_PLANE_URL: 'http://plane.example' };
    const { stderr } = await kubiya('config show', { environment });
    expect(stderr).toContain('warning: the key is sent to http://plane.example without encryption');
    const near = await kubiya('config show', {
      environment: { ...environment, CONTROL_PLANE_URL: 'http://127.0.0.1:1' },
    });
    expect(near.stderr).not.toContain('warning');
    const OPENAI_BASE_URL = 'http://models.example/v1';
    const models = await kubiya('config show', { environment: { OPENAI_BASE_URL, OPENAI_API_KEY: 'sk-1' } });
    expect(models.stderr).toContain('warning: OPENAI_API_KEY is sent without encryption');
    expect((await kubiya('config show', { environment: { OPENAI_BASE_URL } })).stderr).not.toContain('warning');
  });
});
