// What `worker status` and `worker list` show, from fixed facts: on a terminal of 80 columns, in a pipe, with and without colour.
import { describe, expect, test } from 'bun:test';
import { PassThrough } from 'node:stream';
import { createOutput, type Output, type OutputStream } from '../../src/cli/output.ts';
import { remoteWorkerColumns, workerListColumns, workerStatusText } from '../../src/cli/render/worker-status.ts';
import { printList } from '../../src/cli/table.ts';
import type { Worker } from '../../src/protocol/control-plane.ts';
import type { WorkerStatus } from '../../src/protocol/instance.ts';

const nowMs = Date.parse('2026-11-24T12:00:00.000Z');

const running: WorkerStatus = {
  queue: 'my-queue',
  type: 'local',
  state: 'running',
  healthy: true,
  mode: 'daemon',
  pid: 4700,
  worker_pid: 4711,
  worker_id: '1f3d6c1e-5b0e-4a0e-9d1c-0d6f1c2b3a49',
  queue_id: '4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49',
  started_at: '2026-11-20T08:00:00.000Z',
  state_since: '2026-11-24T08:47:55.000Z',
  restarts: 2,
  next_start_at: null,
  heartbeat_age_ms: 12_345,
  poll_age_ms: 800,
  slots: { used: 2, max: 10 },
  executions: ['7a7f1f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49', '8b8f1f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49'],
  control_plane: { address: 'http://127.0.0.1:7080', is_up: true, since: '2026-11-24T08:47:55.000Z', reason: null },
  temporal: { address: '127.0.0.1:7233', is_up: true, since: '2026-11-24T08:47:55.000Z', reason: null },
  webui_url: 'http://127.0.0.1:8088',
  metrics_port: 9090,
  log_file: '/home/someone/.kubiya/workers/my-queue/logs/worker.log',
  log_bytes: 3_210_000,
  rss_bytes: 212_400_000,
  directory: '/home/someone/.kubiya/workers/my-queue',
  version: '0.1.0',
  warnings: [],
  reason: null,
};
/** What is no longer known when nothing answers. */
const silent = {
  healthy: false,
  heartbeat_age_ms: null,
  poll_age_ms: null,
  slots: null,
  executions: [],
  control_plane: null,
  temporal: null,
  webui_url: null,
  metrics_port: null,
  rss_bytes: null,
} as const;
const frozen: WorkerStatus = { ...running, ...silent, reason: 'it has not answered for 1 s' };
const unwell: WorkerStatus = {
  ...running,
  healthy: false,
  mode: 'foreground',
  pid: 4711,
  temporal: {
    address: '127.0.0.1:7233',
    is_up: false,
    since: '2026-11-24T11:59:20.000Z',
    reason: 'the connection was refused, and it has been refused for every attempt since then',
  },
  warnings: ['the queue also has a worker of another kind, which cannot continue what this one has begun'],
  reason: 'Temporal has not been reached since 2026-11-24T11:59:20.000Z, so no work comes in',
};
const crashLooping: WorkerStatus = {
  ...running,
  ...silent,
  state: 'crash-looping',
  state_since: '2026-11-24T11:58:00.000Z',
  restarts: 7,
  worker_pid: null,
  next_start_at: '2026-11-24T12:00:41.000Z',
  reason: 'the worker ended with exit code 70: something nobody expected',
  log_tail: [
    '2026-11-24T11:58:00.000Z [ERROR] worker: The worker ended by a fault reason=something nobody expected at all',
    '2026-11-24T11:58:00.001Z [INFO] worker: Stopped',
  ],
};
const stopped: WorkerStatus = {
  ...running,
  ...silent,
  queue: 'a-queue-with-a-name-that-is-longer-than-a-column',
  state: 'stopped',
  state_since: null,
  pid: null,
  worker_pid: null,
  reason: 'vanished',
};

/** An output to a terminal of so many columns, or to a pipe, and what it got. */
function screen(columns?: number, environment: Record<string, string> = { NO_COLOR: '1' }) {
  const stream = (): PassThrough & OutputStream =>
    Object.assign(new PassThrough(), columns === undefined ? {} : { isTTY: true, columns });
  const stdout = stream();
  const output = createOutput(stdout, stream(), { environment, isStdinTty: false });
  return { output, text: () => String(stdout.read() ?? '') };
}

const shown = (status: WorkerStatus, columns?: number): string =>
  workerStatusText(status, screen(columns).output.stdout, nowMs);

const widest = (text: string): number => Math.max(...text.split('\n').map((line) => line.length));

describe('status', () => {
  test('a daemon that is well', () => {
    expect(shown(running, 80)).toMatchInlineSnapshot(`
      "queue          my-queue (4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49)
      state          running and healthy, since 2026-11-24T08:47:55.000Z (3h12m)
      worker         1f3d6c1e-5b0e-4a0e-9d1c-0d6f1c2b3a49
      process        4711, supervised by 4700
      restarts       2
      work           2 of 10 slots used
      executions     7a7f1f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49
                     8b8f1f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49
      control plane  http://127.0.0.1:7080, up
      temporal       127.0.0.1:7233, up
      heartbeat      12s ago
      last poll      1s ago
      memory         212 MB
      WebUI          http://127.0.0.1:8088
      metrics        port 9090
      log            /home/someone/.kubiya/workers/my-queue/logs/worker.log (3.2 MB)
      version        0.1.0"
    `);
  });

  test('one that is not, in the foreground', () => {
    expect(shown(unwell, 80)).toMatchInlineSnapshot(`
      "queue          my-queue (4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49)
      state          running, but not healthy, since 2026-11-24T08:47:55.000Z (3h12m)
      reason         Temporal has not been reached since 2026-11-24T11:59:20.000Z, so
                     no work comes in
      warning        the queue also has a worker of another kind, which cannot
                     continue what this one has begun
      worker         1f3d6c1e-5b0e-4a0e-9d1c-0d6f1c2b3a49
      process        4711, in the foreground
      work           2 of 10 slots used
      executions     7a7f1f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49
                     8b8f1f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49
      control plane  http://127.0.0.1:7080, up
      temporal       127.0.0.1:7233, down since 2026-11-24T11:59:20.000Z: the
                     connection was refused, and it has been refused for every attempt
                     since then
      heartbeat      12s ago
      last poll      1s ago
      memory         212 MB
      WebUI          http://127.0.0.1:8088
      metrics        port 9090
      log            /home/someone/.kubiya/workers/my-queue/logs/worker.log (3.2 MB)
      version        0.1.0"
    `);
    expect(widest(shown(unwell, 80))).toBeLessThanOrEqual(80);
  });

  test('one that is frozen', () => {
    expect(shown(frozen, 80)).toMatchInlineSnapshot(`
      "queue          my-queue (4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49)
      state          running, but not healthy, since 2026-11-24T08:47:55.000Z (3h12m)
      reason         it has not answered for 1 s
      worker         1f3d6c1e-5b0e-4a0e-9d1c-0d6f1c2b3a49
      process        4711, supervised by 4700
      restarts       2
      log            /home/someone/.kubiya/workers/my-queue/logs/worker.log (3.2 MB)
      version        0.1.0"
    `);
  });

  test('one that keeps crashing', () => {
    expect(shown(crashLooping, 80)).toMatchInlineSnapshot(`
      "queue          my-queue (4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49)
      state          crash-looping, since 2026-11-24T11:58:00.000Z (2m)
      reason         the worker ended with exit code 70: something nobody expected
      next start     in 41s
      worker         1f3d6c1e-5b0e-4a0e-9d1c-0d6f1c2b3a49
      process        none, supervised by 4700
      restarts       7
      log            /home/someone/.kubiya/workers/my-queue/logs/worker.log (3.2 MB)
      version        0.1.0

      Last lines of the log:
        2026-11-24T11:58:00.000Z [ERROR] worker: The worker ended by a fault reason=s…
        2026-11-24T11:58:00.001Z [INFO] worker: Stopped"
    `);
    expect(widest(shown(crashLooping, 80))).toBeLessThanOrEqual(80);
  });

  test('one that has gone', () => {
    expect(shown(stopped, 80)).toMatchInlineSnapshot(`
      "queue          a-queue-with-a-name-that-is-longer-than-a-column
                     (4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49)
      state          stopped
      reason         vanished
      worker         1f3d6c1e-5b0e-4a0e-9d1c-0d6f1c2b3a49
      restarts       2
      log            /home/someone/.kubiya/workers/my-queue/logs/worker.log (3.2 MB)
      version        0.1.0"
    `);
  });

  test('in a pipe nothing is wrapped, and colour is only for those who want it', () => {
    expect(shown(unwell)).toContain(
      'reason         Temporal has not been reached since 2026-11-24T11:59:20.000Z, so no work',
    );
    const escape = String.fromCharCode(27);
    expect(workerStatusText(running, screen(80, {}).output.stdout, nowMs)).toContain(
      `${escape}[32mrunning and healthy`,
    );
    expect(shown(running, 80)).not.toContain(escape);
  });

  test('no control sequence of a log or a reason reaches the terminal', () => {
    const evil = `\u001b]0;owned\u0007\u001b[2Jgone`;
    const text = shown({ ...crashLooping, reason: evil, log_tail: [evil] }, 80);
    expect(text).toContain('gone');
    for (const control of ['\u0007', '\u001b']) expect(text).not.toContain(control);
  });
});

describe('list', () => {
  const list = async (columns?: number, isJson = false): Promise<string> => {
    const { output, text } = screen(columns);
    await printList(
      output,
      [running, unwell, frozen, crashLooping, stopped],
      workerListColumns(output.stdout, nowMs),
      isJson,
    );
    return text();
  };

  test('fits 80 columns', async () => {
    expect(await list(80)).toMatchInlineSnapshot(`
      "QUEUE                     STATE          FOR    PID   SLOTS  HEALTH
      my-queue                  running        3h12m  4711  2/10   healthy
      my-queue                  running        3h12m  4711  2/10   Temporal has not b…
      my-queue                  running        3h12m  4711  -      it has not answere…
      my-queue                  crash-looping  2m     4700  -      the worker ended w…
      a-queue-with-a-name-tha…  stopped        -      -     -      vanished
      "
    `);
    expect(widest(await list(80))).toBeLessThanOrEqual(80);
  });

  test('a pipe gets whole words, a program everything', async () => {
    expect(await list()).toContain('a-queue-with-a-name-that-is-longer-than-a-column  stopped');
    expect(JSON.parse(await list(80, true))).toEqual([running, unwell, frozen, crashLooping, stopped]);
  });

  test('the workers that the control plane sees', async () => {
    const worker = (given: Partial<Worker>): Worker => ({
      id: 'r',
      worker_id: '1f3d6c1e-5b0e-4a0e-9d1c-0d6f1c2b3a49',
      status: 'active',
      tasks_processed: 0,
      ...given,
    });
    const workers = [
      worker({
        last_heartbeat: '2026-11-24T11:59:48.000Z',
        system_info: { hostname: 'build-host-of-a-long-name', sdk_version: '0.1.0' },
      }),
      worker({ status: 'idle' }),
    ];
    const { output, text } = screen(80);
    await printRemote(output, workers);
    const seen = text();
    expect(seen).toMatchInlineSnapshot(`
      "ID                                    HOST          STATUS  HEARTBEAT  VERSION
      1f3d6c1e-5b0e-4a0e-9d1c-0d6f1c2b3a49  build-host-…  active  12s        0.1.0
      1f3d6c1e-5b0e-4a0e-9d1c-0d6f1c2b3a49  -             idle    -          -
      "
    `);
    expect(widest(seen)).toBeLessThanOrEqual(80);
  });

  const printRemote = (output: Output, workers: readonly Worker[]): Promise<void> =>
    printList(output, workers, remoteWorkerColumns(output.stdout, nowMs), false);
});
