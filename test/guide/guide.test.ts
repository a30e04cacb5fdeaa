// The command lines of the worker guide, sections Local Mode, Daemon Mode, Configuration, Monitoring and Troubleshooting, typed as printed.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkerStatus } from '../../src/protocol/instance.ts';
import { until } from '../support/until.ts';
import { type GuideShell, openGuideShell, type Printed } from './shell.ts';

let shell: GuideShell;
/** Of the local server; the reader who has an account has the cloud's instead. */
let serverUrl = '';
beforeAll(async () => {
  shell = await openGuideShell();
  const started = await shell.run('kubiya server start -d');
  serverUrl = started.stdout.trim();
  expect(started.code).toBe(0);
}, 90_000);
afterAll(async () => {
  await shell.stop();
}, 30_000);

const place = (queue: string, name = ''): string => join(shell.home.kubiyaHome, 'workers', queue, name);
const logOf = (queue: string): string => readFileSync(place(queue, 'logs/worker.log'), 'utf8');
const exec = (queue: string, prompt: string): Promise<Printed> =>
  shell.run(`kubiya exec agent default --queue ${queue} --model kubiya/offline '${prompt}'`);

/** Everything that a `tail -f` line prints until `act` is done and `tail` is ended, as Ctrl+C ends it. */
async function following(line: string, act: () => Promise<unknown>): Promise<string> {
  const running = shell.start(line);
  await until(async () => (await shell.run('pgrep -x tail')).code === 0, { intervalMs: 100 });
  await act();
  // tail looks again every second.
  await new Promise((done) => setTimeout(done, 1_300));
  await shell.run('pkill -x tail');
  return (await running.ended).stdout;
}

describe('Local Mode', () => {
  test('a worker in the foreground, with live logging, in the documented directories; Ctrl+C ends it', async () => {
    mkdirSync(place('dev-queue'), { recursive: true });
    writeFileSync(place('dev-queue', 'requirements.txt'), '');
    const worker = shell.start('kubiya worker start --queue-id=dev-queue --type=local');
    await worker.waitFor(/\[INFO\] worker: Connected to Temporal/);
    await worker.waitFor(/\[INFO\] kubiya: Ready/);
    expect(statSync(place('dev-queue', 'logs/worker.log')).isFile()).toBe(true);
    await until(() => existsSync(place('dev-queue', 'venv/bin/pip')), {
      what: () => 'the virtual environment is set up',
    });
    // "worker.py" of the guide does not exist: the worker is in the binary (README).
    expect(existsSync(place('dev-queue', 'worker.py'))).toBe(false);
    await shell.run('pkill -INT -f "^kubiya worker start --queue-id=dev-queue"');
    expect(await worker.ended).toMatchObject({ code: 0, stderr: expect.stringContaining('Stopped') });
  });

  test('with a custom environment; with spaces around = the shell refuses the lines', async () => {
    expect(await shell.run('export LOG_LEVEL = DEBUG')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('not a valid identifier'),
    });
    const worker = shell.start(
      'export LOG_LEVEL=DEBUG\nexport HEARTBEAT_INTERVAL=15\nkubiya worker start --queue-id=dev-queue --type=local',
    );
    await worker.waitFor(/\[INFO\] kubiya: Ready/);
    await worker.waitFor(/\[DEBUG\]/);
    expect((await shell.run('kubiya worker stop --queue-id=dev-queue')).code).toBe(0);
    expect((await worker.ended).code).toBe(0);
  });
});

describe('Daemon Mode', () => {
  const stopped = async (): Promise<void> => {
    await until(async () => (await shell.run('pgrep -f "worker.py:prod-queue"')).code !== 0, { intervalMs: 100 });
    const { stdout } = await shell.run('kubiya worker status --queue-id=prod-queue --json');
    expect(JSON.parse(stdout)).toMatchObject({ state: 'stopped', pid: null });
  };

  test('start, check, view, stop', async () => {
    const started = await shell.run('kubiya worker start --queue-id=prod-queue --type=local --daemon');
    expect(started.code).toBe(0);
    const info = await shell.run('cat ~/.kubiya/workers/prod-queue/daemon_info.txt');
    expect(info.stdout).toMatch(/^Kubiya worker is running$/m);
    expect(info.stdout).toMatch(/^pid: +\d+$/m);
    const seen = await following('tail -f ~/.kubiya/workers/prod-queue/logs/worker.log', () =>
      exec('prod-queue', 'run `true`'),
    );
    expect(seen).toContain('Connected to Temporal');
    expect(seen).toContain('Task completed');
    expect((await shell.run('ps aux | grep "worker.py.*prod-queue"')).stdout).toMatch(
      /kubiya worker start .*worker\.py:prod-queue/,
    );
    expect(await shell.run('pkill -f "worker.py.*prod-queue"')).toMatchObject({ code: 0 });
    await stopped();
    expect(readFileSync(place('prod-queue', 'daemon_info.txt'), 'utf8')).toMatch(/^stopped at: /m);
  });

  test('the shorthand', async () => {
    expect((await shell.run('kubiya worker start --queue-id=prod-queue --type=local -d')).code).toBe(0);
    await shell.run('pkill -f "worker.py.*prod-queue"');
    await stopped();
  });

  test('a comment after a backslash ends the command: a hint says so, and without it the line works', async () => {
    const printed = [
      'kubiya worker start \\',
      '--queue-id=prod-queue \\',
      '--type=local \\',
      '--daemon \\',
      '--max-log-size=104857600 \\ # 100MB',
      '--max-log-backups=10',
    ].join('\n');
    const refused = await shell.run(printed);
    expect(refused.code).toBe(127);
    expect(refused.stderr).toContain('hint: a backslash continues a line only as its last character');
    expect((await shell.run(printed.replace(' # 100MB', ''))).code).toBe(0);
    expect(JSON.parse(readFileSync(place('prod-queue', 'daemon_info.json'), 'utf8'))).toMatchObject({
      log_bytes_max: 104_857_600,
      log_backups_max: 10,
    });
    expect((await shell.run('kubiya worker stop --queue-id=prod-queue')).code).toBe(0);
    await stopped();
  });
});

describe('Configuration', () => {
  test('every documented variable is an option, named as the origin of its value', async () => {
    const given = {
      KUBIYA_API_KEY: 'your-api-key',
      CONTROL_PLANE_URL: 'https://control-plane.kubiya.ai',
      CONTROL_PLANE_GATEWAY_URL: 'https://cp.company.internal',
      QUEUE_ID: 'documented',
      ENVIRONMENT_NAME: 'staging',
      WORKER_HOSTNAME: 'build-17',
      HEARTBEAT_INTERVAL: '60',
      LOG_LEVEL: 'WARN',
      MAX_CONCURRENT_ACTIVITIES: '20',
      MAX_CONCURRENT_WORKFLOWS: '10',
      KUBIYA_MODEL: 'kubiya/offline',
      ACTIVITY_TIMEOUT: '600',
      KUBIYA_DEBUG: 'true',
      MEMORY_LIMIT: '2Gi',
      CPU_LIMIT: '1000m',
    };
    const { code, stdout } = await shell.run('kubiya config show --json', given);
    expect(code).toBe(0);
    const shown = JSON.parse(stdout) as { settings: { origin: { kind: string; name?: string }; value: unknown }[] };
    const origins = new Map(shown.settings.map(({ origin, value }) => [origin.name, value]));
    // The gateway URL takes precedence, so that the other is the origin of nothing.
    expect(Object.keys(given).filter((name) => !origins.has(name))).toEqual(['CONTROL_PLANE_URL']);
    expect(origins.get('CONTROL_PLANE_GATEWAY_URL')).toBe('https://cp.company.internal');
    expect(stdout).not.toContain('your-api-key');
  });

  test('the advanced configuration starts a worker, with a control plane that is there', async () => {
    const worker = shell.start(
      [
        'export MAX_CONCURRENT_ACTIVITIES=20',
        'export MAX_CONCURRENT_WORKFLOWS=10',
        'export ACTIVITY_TIMEOUT=600',
        `export CONTROL_PLANE_GATEWAY_URL="${serverUrl}"`,
        'export LOG_LEVEL=DEBUG',
        'export KUBIYA_DEBUG=true',
        'export MEMORY_LIMIT="2Gi"',
        'export CPU_LIMIT="1000m"',
        'kubiya worker start --queue-id=tuned-queue --type=local',
      ].join('\n'),
    );
    await worker.waitFor(/\[INFO\] kubiya: Ready/);
    const { stdout } = await shell.run('kubiya worker status --queue-id=tuned-queue --json');
    expect(JSON.parse(stdout)).toMatchObject({ slots: { max: 20 }, control_plane: { address: serverUrl } });
    await shell.run('kubiya worker stop --queue-id=tuned-queue');
    expect((await worker.ended).code).toBe(0);
  });
});

describe('Monitoring', () => {
  const log = '~/.kubiya/workers/prod-queue/logs/worker.log';
  beforeAll(async () => {
    expect((await shell.run('kubiya worker start --queue-id=prod-queue --type=local --daemon')).code).toBe(0);
    await exec('prod-queue', 'run `echo well` `false`');
  }, 30_000);

  test('log management', async () => {
    expect(await following(`tail -f ${log}`, () => exec('prod-queue', 'run `echo live`'))).toContain('Task completed');
    // Nothing has gone wrong yet that is an error of the worker: grep finds nothing and says 1.
    expect((await shell.run(`grep ERROR ${log}`)).code).toBe(logOf('prod-queue').includes('ERROR') ? 0 : 1);
    const hundred = (await shell.run(`tail -n 100 ${log}`)).stdout;
    expect(hundred.trimEnd().split('\n').length).toBeLessThanOrEqual(100);
    const completed = await following(`tail -f ${log} | grep "Task completed"`, () =>
      exec('prod-queue', 'run `echo live`'),
    );
    expect(
      completed
        .trimEnd()
        .split('\n')
        .every((line) => line.includes('Task completed')),
    ).toBe(true);
    expect(completed).toMatch(/\[INFO\] worker: Task completed execution=\S+/);
  });

  test('health checks', async () => {
    expect((await shell.run('ps aux | grep "worker.py.*prod-queue"')).stdout).toMatch(/kubiya worker start/);
    expect((await shell.run('cat ~/.kubiya/workers/prod-queue/daemon_info.txt')).stdout).toContain(
      'Kubiya worker is running',
    );
    // control-plane.kubiya.ai is not for tests: the local server has the same answer at the same path.
    expect((await shell.run(`curl ${serverUrl}/health`)).code).toBe(0);
    expect((await shell.run(`grep "Connected to Temporal" ${log}`)).stdout).toContain('Connected to Temporal');
  });

  test('metrics, every minute and at the end', async () => {
    const seen = await following(`tail -f ${log} | grep "metrics"`, async () => {
      expect((await shell.run('kubiya worker stop --queue-id=prod-queue')).code).toBe(0);
    });
    expect(seen).toMatch(/\[INFO\] metrics: Metrics: tasks_completed=\d+, .*avg_duration=[\d.]+s, .*memory_mb=\d+/);
  });
});

describe('Troubleshooting', () => {
  const log = '~/.kubiya/workers/prod-queue/logs/worker.log';

  test("the worker won't start", async () => {
    expect((await shell.run('python3 --version')).stdout).toMatch(/^Python 3\.(?:[89]|\d\d)/);
    mkdirSync(place('broken-queue', 'venv/bin'), { recursive: true });
    writeFileSync(place('broken-queue', 'requirements.txt'), '');
    expect((await shell.run('rm -rf ~/.kubiya/workers/broken-queue/venv')).code).toBe(0);
    const worker = shell.start('export LOG_LEVEL=DEBUG\nkubiya worker start --queue-id=broken-queue --type=local');
    await worker.waitFor(/\[INFO\] python: The Python environment is ready/);
    // Checks for dependency issues, of the section about crashes; the page breaks the path after the tilde.
    expect(await shell.run('~/.kubiya/workers/broken-queue/venv/bin/pip list')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^pip +\d/m),
    });
    await shell.run('kubiya worker stop --queue-id=broken-queue');
    expect((await worker.ended).code).toBe(0);
    // Port 7233 may be anybody's: a server of ours takes the next free one and says so.
    const ports = await shell.run('lsof -i :7233 # Temporal port');
    expect([0, 1, 127]).toContain(ports.code);
    expect((await shell.run('kubiya server status')).stdout).toMatch(/running/);
  });

  test('connection issues', async () => {
    expect((await shell.run(`curl -v ${serverUrl}/health`)).stderr).toContain('200 OK');
    expect(await shell.run('echo $KUBIYA_API_KEY')).toMatchObject({ code: 0, stdout: '\n' });
    // nslookup needs the internet; that the name cannot be resolved is what the worker itself says.
    const refused = await shell.run('kubiya worker start --queue-id=prod-queue', {
      KUBIYA_API_KEY: 'your-api-key',
      CONTROL_PLANE_URL: 'https://control-plane.invalid',
    });
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain('control-plane.invalid');
    expect((await shell.run('echo $HTTP_PROXY\necho $HTTPS_PROXY')).code).toBe(0);
  });

  test('the worker crashes: its log says so, and a daemon starts it again', async () => {
    expect((await shell.run('kubiya worker start --queue-id=prod-queue --type=local --daemon')).code).toBe(0);
    const status = async (): Promise<WorkerStatus> => {
      const { stdout } = await shell.run('kubiya worker status --queue-id=prod-queue --json');
      return JSON.parse(stdout) as WorkerStatus;
    };
    await shell.run(`kill -9 ${(await status()).worker_pid}`);
    await until(async () => (await status()).healthy && (await status()).restarts === 1, { intervalMs: 200 });
    expect((await shell.run(`tail -n 500 ${log} | grep ERROR`)).stdout).toMatch(/SIGKILL|signal|killed/i);
  });

  test('task execution failures', async () => {
    expect(
      JSON.parse(
        (await shell.run('export ACTIVITY_TIMEOUT=1200 # Increase to 20 minutes\nkubiya config show --json')).stdout,
      ),
    ).toMatchObject({
      settings: expect.arrayContaining([
        expect.objectContaining({ value: 1_200_000, origin: { kind: 'environment', name: 'ACTIVITY_TIMEOUT' } }),
      ]),
    });
    expect(await shell.run('kubiya skill list')).toMatchObject({ code: 0 });
    const agents = JSON.parse((await shell.run('kubiya agent list --json')).stdout) as { id: string }[];
    expect((await shell.run(`kubiya agent get ${agents[0]?.id}`)).stdout).toMatch(/^name +default$/m);
    const failed = await following(`tail -f ${log} | grep "Activity failed"`, () => exec('prod-queue', 'run `false`'));
    expect(failed).toMatch(/Activity failed/);
    expect((await shell.run('kubiya worker stop --queue-id=prod-queue')).code).toBe(0);
    rmSync(place('prod-queue'), { recursive: true });
  });
});
