// Every other command as a real process: help, errors, lists, creation, configuration, completion, versions.
import { afterEach, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../src/cli/root.ts';
import { type Command, loadCommand } from '../../src/cli/command.ts';
import { version } from '../../src/version.ts';
import {
  type ControlPlaneScript,
  type ScriptedControlPlane,
  startScriptedControlPlane,
} from '../support/scripted-control-plane.ts';
import { against, runCli } from './run-cli.ts';

const planes: ScriptedControlPlane[] = [];
const directories: string[] = [];
afterEach(async () => {
  await Promise.all(planes.splice(0).map((plane) => plane.stop()));
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

async function start(script: ControlPlaneScript = {}): Promise<ScriptedControlPlane> {
  const plane = await startScriptedControlPlane(script);
  planes.push(plane);
  return plane;
}

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'kubiya-commands-'));
  directories.push(directory);
  return directory;
}

/** Every command with its words; groups are gone through. */
async function leaves(entry: Command, path: readonly string[] = []): Promise<readonly (readonly [string, Command])[]> {
  const below = Object.entries(entry.subCommands ?? {}).map(
    async ([name, child]) => await leaves(await loadCommand(child), [...path, name]),
  );
  const own: readonly [string, Command] = [path.join(' '), entry];
  return [...(entry.run === undefined ? [] : [own]), ...(await Promise.all(below)).flat()];
}

describe('help', () => {
  test('every command has one with examples that name it, and no flag without a sentence', async () => {
    const commands = await leaves(root);
    expect(commands.length).toBeGreaterThan(25);
    for (const [path, { meta, examples = [], flags = [] }] of commands) {
      expect(meta.description).not.toBe('');
      expect(examples.length).toBeGreaterThan(0);
      for (const [line] of examples) expect(line).toContain(`kubiya ${path}`);
      for (const { declaration } of flags) expect(declaration.description).not.toBe('');
    }
  });

  test('of worker start', async () => {
    const result = await runCli(['worker', 'start', '--help']);
    expect(result.code).toBe(0);
    expect(result.stderr).toBe('');
    expect(result.stdout).toMatchInlineSnapshot(`
      "Start a worker, in the foreground or supervised in the background

      Without KUBIYA_API_KEY it uses the running local server, or starts one of its own that ends with it.
      The first signal drains, the second cancels running work, the third leaves at once.
      With -d it returns when the worker is ready; a supervisor then starts it again whenever it crashes or hangs.

      Usage: kubiya worker start [flags]

      Flags:
        -d, --daemon                   the same as --mode daemon
        --json                         with -d: print what was started as JSON
        --control-plane-url <url>      base URL of the control plane (default: https://control-plane.kubiya.ai; env: CONTROL_PLANE_GATEWAY_URL > CONTROL_PLANE_URL > KUBIYA_CONTROL_PLANE_BASE_URL)
        --local-server                 use the local profile even when a key is set (env: KUBIYA_LOCAL_SERVER)
        --model <id>                   model that overrides the configuration of agents (env: KUBIYA_MODEL)
        --queue-id, --queue <id|name>  queue of the worker; at its start an unknown name is created in the local profile (env: QUEUE_ID)
        --type <local>                 where the worker runs (default: local)
        --mode <foreground|daemon>     in this terminal, or supervised in the background (-d, --daemon) (default: foreground)
        --no-webui                     serve nothing on the web port
        --webui-port <port>            web port of the worker; the default moves to the next free one, 0 takes any (default: 8088; env: KUBIYA_WEBUI_PORT)
        --webui-host <address>         address of the web port; one that is not loopback needs KUBIYA_WEBUI_TOKEN_FILE (default: 127.0.0.1; env: KUBIYA_WEBUI_HOST)
        --once                         take one execution and exit with its result: 0 completed, 1 failed, 130 cancelled (env: SINGLE_EXECUTION)
        --idle-timeout <duration>      drain and exit after so long without work (default: off)
        --max-uptime <duration>        drain and exit so long after the start (default: off)
        --max-memory <size>            drain above it, then restart (daemon) or exit with 7; for example 2Gi (default: off; env: MEMORY_LIMIT)
        --runtime <auto|bun|node>      what hosts the native part of Temporal: this binary, or Node 20 or later on the PATH (default: auto; env: KUBIYA_RUNTIME)
        --drain-timeout <duration>     what running work gets after the first stop signal (default: 30s; 25s under Kubernetes, 8s as pid 1 in a container; env: KUBIYA_DRAIN_TIMEOUT)
        --max-log-size <size>          size of a log file at which it is rotated (default: 100Mi; env: KUBIYA_MAX_LOG_SIZE)
        --max-log-backups <count>      rotated log files that are kept; 0 keeps none (default: 5; env: KUBIYA_MAX_LOG_BACKUPS)
        --context <name>               context of the context file to use (default: current-context of the context file; env: KUBIYA_CONTEXT)
        -h, --help                     show this text

      Examples:
        # on this machine, with no account
        kubiya worker start --queue-id my-queue --type local
        # on a queue of the Kubiya control plane
        KUBIYA_API_KEY=… kubiya worker start --queue-id 4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49
        # in the background, for months
        kubiya worker start --queue-id prod-queue -d
        # without a language model, draining for two minutes
        kubiya worker start --queue-id ci --model kubiya/offline --drain-timeout 2m
      "
    `);
  });

  test('bare kubiya explains itself, a group without a command is an error', async () => {
    expect(await runCli([])).toMatchObject({ code: 0, stderr: '' });
    expect(await runCli(['worker'])).toMatchObject({ code: 2, stdout: '' });
    expect(await runCli(['worker', '--help'])).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('a wrong command line', () => {
  test.each([
    [['strat'], 'unknown command "strat"', '`kubiya --help` lists the commands'],
    [['worker', 'strat'], 'unknown command "worker strat"', 'did you mean kubiya worker start?'],
    [['agnet', 'list'], 'unknown command "agnet"', 'did you mean kubiya agent?'],
    [['worker', 'start', '--queue-idd', 'x'], 'unknown flag --queue-idd', 'did you mean --queue-id?'],
    [['constructor'], 'unknown command "constructor"', '`kubiya --help` lists the commands'],
    [['-', 'agent'], 'unknown command "-"', '`kubiya --help` lists the commands'],
    [['exec', 'x', '--promptFile', 'y'], 'unknown flag --promptFile', 'did you mean --prompt-file?'],
    [['exec', 'x', '--stream'], 'unknown flag --stream', 'the same command with --help lists its flags'],
    [['exec', 'x', '--no-stream=1'], '--no-stream takes no value', 'write --no-stream'],
    [['exec', 'x', '--no-queue'], 'unknown flag --no-queue', undefined],
    [['worker', 'start', '-q', 'x'], 'unknown flag -q', 'the same command with --help lists its flags'],
    [['worker', 'start', '--queue'], '--queue needs a value', 'write --queue <id|name>'],
    [['worker', 'start', '--queue='], '--queue needs a value', 'write --queue <id|name>'],
    [['worker', 'start', '--queue', 'a', '--queue-id', 'b'], '--queue-id is given twice', undefined],
    [['worker', 'start', '--type', 'docker', '--queue', 'a'], '--type must be one of local, not "docker"', undefined],
    [['worker', 'start'], 'no queue is given', 'name it with --queue-id, or set QUEUE_ID'],
    [['worker', 'start', 'q'], 'unexpected argument "q"', 'the same command with --help shows how it is used'],
    [
      ['worker', 'start', ' '],
      'unexpected argument " "',
      'a backslash continues a line only as its last character: remove what follows it',
    ],
    [
      ['worker', '\\'],
      'unknown command "worker \\"',
      'a backslash continues a line only as its last character: remove what follows it',
    ],
    [['agent', 'list', '--json=yes'], '--json takes no value', 'write --json or --no-json'],
    [['agent', 'get'], 'the argument <agent> is missing', 'the same command with --help shows how it is used'],
    [['agent', 'create'], '--name is missing', 'the same command with --help shows how it is used'],
    [
      ['skill', 'create', '--name', 'a', '--type', 'shel'],
      '--type must be one of file_system, shell',
      'did you mean shell?',
    ],
    [
      ['skill', 'create', '--name', 'a', '--type', 'shell', '--config', '[]'],
      '--config must be a JSON object',
      undefined,
    ],
    [['server', 'start', '--port', '0'], '--port must be a whole number from 1 to 65535, not "0"', undefined],
    [['completion', 'nushell'], 'unknown shell "nushell"', 'one of bash, zsh, fish, powershell'],
    [['exec', 'teams', 'a', 'b'], 'unexpected argument "a"', 'put the whole prompt in quotes'],
  ])('%j', async (words, message, hint) => {
    const result = await runCli(words, { environment: { KUBIYA_API_KEY: 'k' } });
    expect(result.stderr).toStartWith(`error: ${message}`);
    if (hint !== undefined) expect(result.stderr).toContain(`\nhint: ${hint}\n`);
    expect(result).toMatchObject({ code: 2, stdout: '' });
  });
});

describe('configuration', () => {
  test('every problem at once, exit 6, and a bad flag alone is exit 2', async () => {
    const environment = {
      KUBIYA_API_KEY: 'k',
      HEARTBEAT_INTERVAL: '5',
      LOG_LEVEL: 'loud',
      MAX_CONCURRENT_ACTIVITIES: 'many',
    };
    const several = await runCli(['worker', 'start', '--queue', 'q'], { environment });
    expect(several).toMatchObject({ code: 6, stdout: '' });
    expect(several.stderr).toBe(
      [
        'error: 3 settings are wrong:',
        '  HEARTBEAT_INTERVAL must be a whole number from 15 to 300 seconds, not "5"',
        '  MAX_CONCURRENT_ACTIVITIES must be a whole number from 1 to 1000, not "many"',
        '  LOG_LEVEL must be one of debug, info, warn, warning, error, not "loud"',
        'hint: correct the settings; `kubiya config show` lists them with their origin',
        '',
      ].join('\n'),
    );
    const flag = await runCli(['worker', 'start', '--queue', 'q', '--drain-timeout', 'soon'], {
      environment: { KUBIYA_API_KEY: 'k' },
    });
    expect(flag).toMatchObject({ code: 2 });
  });

  test('a setting of the worker does not stop a command that has nothing to do with it', async () => {
    const plane = await start();
    const result = await runCli(['agent', 'list'], {
      environment: { ...against(plane), HEARTBEAT_INTERVAL: '5', LOG_LEVEL: 'loud' },
    });
    expect(result.code).toBe(0);
  });

  test('HOME unset is 6 and names KUBIYA_HOME; a KUBIYA_HOME that cannot be written too', async () => {
    const unset = await runCli(['config', 'show'], { environment: { HOME: '' } });
    expect(unset).toMatchObject({ code: 6, stdout: '' });
    expect(unset.stderr).toContain('hint: set KUBIYA_HOME to a directory that this user can write');
  });

  test.each([[['agent', 'list']], [['worker', 'start', '--queue', 'q']], [['exec', '--local', '--yes', 'x']]])(
    'the certificate file is used by %j',
    async (words) => {
      const environment = { KUBIYA_API_KEY: 'k', CONTROL_PLANE_URL: 'https://127.0.0.1:1', SSL_CERT_FILE: '/nowhere' };
      const result = await runCli(words, { environment });
      expect(result.code).toBe(6);
      expect(result.stderr).toContain('error: the file of certificate authorities /nowhere cannot be used');
    },
  );

  test('config show prints values with their origin and no secret', async () => {
    const environment = {
      KUBIYA_API_KEY: 'very-secret-key',
      OPENAI_API_KEY: 'other-secret',
      LOG_LEVEL: 'WARN',
      HTTPS_PROXY: 'http://u:pw@proxy:1',
    };
    const result = await runCli(['config', 'show', '--json'], { environment });
    const shown = JSON.parse(result.stdout) as {
      profile: unknown;
      providers: unknown;
      settings: { name: string; value: unknown; origin: unknown }[];
    };
    expect(result.stdout + result.stderr).not.toMatch(/very-secret-key|other-secret|u:pw/);
    expect(shown.profile).toEqual({
      kind: 'cloud',
      reason: 'KUBIYA_API_KEY is set, so the Kubiya control plane is used',
    });
    expect(shown.providers).toEqual(['OPENAI_API_KEY']);
    expect(shown.settings.find(({ name }) => name === 'apiKey')).toMatchObject({
      value: '[redacted]',
      origin: { kind: 'environment', name: 'KUBIYA_API_KEY' },
    });
    expect(shown.settings.find(({ name }) => name === 'logLevel')).toMatchObject({
      value: 'warn',
      origin: { name: 'LOG_LEVEL' },
    });
    const text = await runCli(['config', 'show'], { environment });
    expect(text.stdout + text.stderr).not.toMatch(/very-secret-key|other-secret|u:pw/);
    expect(text.stdout).toMatch(/^heartbeatInterval +default +30s /m);
  });

  test('a context file gives URL and token', async () => {
    const plane = await start();
    const home = temporaryDirectory();
    mkdirSync(join(home, '.kubiya'));
    const write = (text: string): void => writeFileSync(join(home, '.kubiya', 'config'), text, { mode: 0o600 });
    write(
      `current-context: test\ncontexts: [{name: test, context: {api-url: "${plane.url}/", user: me}}]\nusers: [{name: me, user: {token: ${plane.token}}}]\n`,
    );
    expect(await runCli(['agent', 'list', '--json'], { environment: { HOME: home } })).toMatchObject({
      code: 0,
      stderr: '',
    });
    write('contexts: [');
    const broken = await runCli(['agent', 'list'], { environment: { HOME: home } });
    expect(broken.code).toBe(6);
    expect(broken.stderr).toContain(`error: ${join(home, '.kubiya', 'config')}:1:12: `);
  });

  test('a rotated key file is read again after a 401', async () => {
    const file = join(temporaryDirectory(), 'key');
    writeFileSync(file, 'old\n');
    const plane = await start({
      token: 'new',
      override: ({ headers }) => {
        if (headers.authorization === 'Bearer old') writeFileSync(file, 'new\n');
        return undefined;
      },
    });
    const result = await runCli(['agent', 'list', '--json'], {
      environment: { KUBIYA_API_KEY_FILE: file, CONTROL_PLANE_URL: plane.url },
    });
    expect(result).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('the rest', () => {
  test('version', async () => {
    expect(await runCli(['--version'])).toEqual({ code: 0, stdout: `kubiya ${version}\n`, stderr: '' });
    expect(await runCli(['version'])).toEqual({ code: 0, stdout: `kubiya ${version}\n`, stderr: '' });
    expect(JSON.parse((await runCli(['version', '--json'])).stdout)).toMatchObject({
      version,
      platform: process.platform,
    });
  });

  test('completion scripts and what they ask', async () => {
    for (const shell of ['bash', 'zsh', 'fish', 'powershell']) {
      const result = await runCli(['completion', shell]);
      expect(result.code).toBe(0);
      expect(result.stdout).toMatch(/kubiya complete '?--/);
    }
    const after = async (...words: string[]): Promise<string[]> => {
      const { stdout } = await runCli(['complete', '--', ...words]);
      return stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split('\t')[0] ?? '');
    };
    expect(await after('work')).toContain('worker');
    expect(await after('worker', '')).toContain('start');
    expect(await after('worker', 'start', '--que')).toContain('--queue-id');
    expect(await after('exec', '--stream-format', '')).toEqual(expect.arrayContaining(['auto', 'text', 'json']));
  });

  test('server status without a server is exit 1', async () => {
    expect(await runCli(['server', 'status'])).toMatchObject({ code: 1, stderr: 'no server is running\n' });
    expect(JSON.parse((await runCli(['server', 'status', '--json'])).stdout)).toEqual({ state: 'stopped' });
  });
});

test.skipIf(!existsSync('/dev/full'))('an answer that did not fit on the disk is exit code 6', async () => {
  const main = join(import.meta.dirname, '../../src/main.ts');
  const child = Bun.spawn(['bun', main, 'skill', 'types'], { stdout: Bun.file('/dev/full'), stderr: 'pipe' });
  expect(await new Response(child.stderr).text()).toStartWith('error: the disk is full');
  expect(await child.exited).toBe(6);
});
