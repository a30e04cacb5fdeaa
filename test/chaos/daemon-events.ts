// What can happen to a daemon, each with what must be true soon after it.
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSameProcess } from '../../src/lib/process-tree.ts';
import type { InstanceRecord, SupervisorRecord } from '../../src/protocol/instance.ts';
import { tryKill } from '../support/binary.ts';
import { until } from '../support/until.ts';
import type { DaemonLab } from './daemon-lab.ts';
import { settledScene } from './status-poll.ts';

export const eventNames = [
  'kill_worker',
  'kill_supervisor',
  'kill_both',
  'term_worker',
  'term_supervisor',
  'hang_worker',
  'disk_full',
  'logs_removed',
  'temporal_restart',
  'control_plane_down',
  'second_start',
  'restart',
] as const;
export type EventName = (typeof eventNames)[number];

export interface EventEnd {
  /** What was not as it must be. */
  readonly violations: readonly string[];
  /** From here on the recovery is measured. */
  readonly recoverFromMs: number;
}

interface ChaosEvent {
  /** From the end of the event until the daemon is healthy again; the wait before a restart comes on top. */
  readonly recoveryMsMax: number;
  run(lab: DaemonLab): Promise<EventEnd>;
}

/** A start takes a second or two; this machine may be compiling something at the same time. */
const startMs = 15_000;
/** The worker looks after its supervisor every second, and the successor starts in less than one. */
const adoptionMs = 8_000;
/** Calls of the executions here take a quarter of a second, and a drain waits for them. */
const drainMs = 10_000;
/** Temporal's dev server starts in a second, and Core's pollers come back with a backoff of up to ten. */
const temporalMs = 30_000;
/** A heartbeat goes out every 15 s at the shortest; until one was taken the control plane counts as away. */
const heartbeatMs = 35_000;
/** Nothing has to come back. */
const atOnceMs = 6_000;
const orphanMsMax = 5_000;
const diskFullMs = 4_000;
/** The log looks every second whether its file is there. */
const logBackMs = 6_000;

const soon = (violations: readonly string[] = []): EventEnd => ({ violations, recoverFromMs: performance.now() });

export const events: Readonly<Record<EventName, ChaosEvent>> = {
  kill_worker: {
    recoveryMsMax: startMs,
    run: async (lab) => {
      lab.crash(await lab.workerPid(), 'SIGKILL');
      return soon();
    },
  },
  kill_supervisor: {
    recoveryMsMax: adoptionMs,
    run: async (lab) => {
      const [workerPid, supervisorPid] = [await lab.workerPid(), lab.supervisorPid()];
      tryKill(supervisorPid, 'SIGKILL');
      lab.supervisorIsNew();
      const end = soon();
      const isAdopted = (): boolean => {
        const { workers, supervisors } = lab.scene();
        return workers[0]?.pid === workerPid && supervisors.length === 1 && supervisors[0] !== supervisorPid;
      };
      await until(isAdopted, {
        limitMs: adoptionMs,
        intervalMs: 100,
        what: () => `${workerPid} is adopted, there is ${JSON.stringify(lab.scene())}`,
      });
      return end;
    },
  },
  kill_both: {
    recoveryMsMax: startMs,
    run: async (lab) => {
      const workerPid = await lab.workerPid();
      // In this order: the other one would start its successor.
      tryKill(lab.supervisorPid(), 'SIGKILL');
      lab.crash(workerPid, 'SIGKILL');
      return await startAnew(lab, await leftOf(lab));
    },
  },
  term_worker: { recoveryMsMax: startMs, run: async (lab) => await terminate(lab, await lab.workerPid()) },
  term_supervisor: { recoveryMsMax: startMs, run: (lab) => terminate(lab, lab.supervisorPid()) },
  hang_worker: {
    recoveryMsMax: startMs,
    run: async (lab) => {
      const pid = await lab.workerPid();
      lab.crash(pid, 'SIGSTOP');
      const limitMs = lab.hangMsMax;
      await until(() => !lab.scene().workers.some((worker) => worker.pid === pid), {
        limitMs,
        intervalMs: 100,
        what: () => `the frozen worker ${pid} is killed`,
      });
      return soon();
    },
  },
  disk_full: {
    recoveryMsMax: atOnceMs,
    run: async (lab) => {
      lab.disk.fill();
      await pause(diskFullMs);
      lab.disk.free();
      return soon();
    },
  },
  logs_removed: { recoveryMsMax: logBackMs, run: removeLogs },
  temporal_restart: {
    recoveryMsMax: temporalMs,
    run: async (lab) => {
      const pid = lab.server.temporalPid();
      tryKill(pid, 'SIGKILL');
      const end = soon();
      await until(() => hasOtherTemporal(lab, pid), {
        limitMs: temporalMs,
        intervalMs: 200,
        what: () => 'there is another Temporal server',
      });
      return end;
    },
  },
  control_plane_down: {
    recoveryMsMax: heartbeatMs,
    run: async (lab) => {
      tryKill(lab.server.process.pid, 'SIGSTOP');
      await pause(lab.controlPlaneDownMs);
      tryKill(lab.server.process.pid, 'SIGCONT');
      return soon();
    },
  },
  second_start: { recoveryMsMax: atOnceMs, run: startAgain },
  restart: {
    recoveryMsMax: atOnceMs,
    run: async (lab) => {
      const [workerPid, supervisorPid] = [await lab.workerPid(), lab.supervisorPid()];
      const { code, stderr } = await lab.run(['worker', 'restart', '--queue-id', lab.queue]);
      lab.supervisorIsNew();
      const isNew = (await lab.workerPid()) !== workerPid && lab.supervisorPid() !== supervisorPid;
      return soon(code === 0 && isNew ? [] : [`a restart returned ${code}: ${stderr}`]);
    },
  },
};

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

function hasOtherTemporal(lab: DaemonLab, pid: number): boolean {
  try {
    return lab.server.temporalPid() !== pid;
  } catch {
    // None at the moment.
    return false;
  }
}

/** One signal from outside ends both, in order, with nothing left. */
async function terminate(lab: DaemonLab, pid: number): Promise<EventEnd> {
  tryKill(pid, 'SIGTERM');
  await until(async () => (await lab.status()).state === 'stopped', {
    limitMs: drainMs,
    intervalMs: 200,
    what: () => `${pid} has drained after SIGTERM, there is ${JSON.stringify(lab.scene())}`,
  });
  return await startAnew(lab, await leftOf(lab));
}

/** What still runs although nothing may. */
async function leftOf(lab: DaemonLab): Promise<string[]> {
  await pause(orphanMsMax);
  const orphans = lab.daemonProcesses();
  const { state } = await lab.status();
  return [
    ...(orphans.length > 0 ? [`left 5 s after the end: ${orphans.join(', ')}`] : []),
    ...(state === 'stopped' ? [] : [`its state is ${state} after the end`]),
  ];
}

/** A stranger gets the pids of the records, and the start is not fooled. */
async function startAnew(lab: DaemonLab, violations: readonly string[]): Promise<EventEnd> {
  impersonate(lab);
  const end = soon(violations);
  lab.supervisorIsNew();
  await lab.start();
  return end;
}

/** Both records say that they run, with the pid of a process that is not theirs. */
function impersonate({ disk, directory, decoy }: DaemonLab): void {
  for (const name of ['daemon_info.json', 'supervisor.json', 'worker.pid']) {
    const path = disk.view(join(directory, name));
    if (!existsSync(path)) continue;
    const record = JSON.parse(readFileSync(path, 'utf8')) as InstanceRecord | SupervisorRecord;
    writeFileSync(path, JSON.stringify({ ...record, pid: decoy.pid, stopped_at: null }));
  }
  appendFileSync(disk.view(join(directory, 'groups')), `start ${decoy.pid} 1@another-boot\n`);
}

async function removeLogs(lab: DaemonLab): Promise<EventEnd> {
  const logs = lab.disk.view(join(lab.directory, 'logs'));
  rmSync(logs, { recursive: true });
  const end = soon();
  // Executions go on, and each says a line at its end.
  const isBack = (): boolean => existsSync(join(logs, 'worker.log')) && statSync(join(logs, 'worker.log')).size > 0;
  await until(isBack, { limitMs: logBackMs, intervalMs: 200, what: () => 'the log is written again' });
  const modes = [logs, ...readdirSync(logs).map((name) => join(logs, name))].map((path) => statSync(path).mode & 0o077);
  return { ...end, violations: modes.some((mode) => mode !== 0) ? ['the log can be read by others'] : [] };
}

async function startAgain(lab: DaemonLab): Promise<EventEnd> {
  const before = await settledScene(lab.home, lab.queue);
  const starts = [lab.queue, lab.queueId].flatMap((queue) => [
    lab.run(['worker', 'start', '--queue-id', queue, '--webui-port', '0', '-d']),
    lab.run(['worker', 'start', '--queue-id', queue, '--webui-port', '0']),
  ]);
  const results = await Promise.all(starts);
  const violations = results.flatMap(({ code, stderr }) =>
    code === 2 ? [] : [`a second start returned ${code}: ${stderr}`],
  );
  const after = await settledScene(lab.home, lab.queue);
  if (JSON.stringify(before) !== JSON.stringify(after))
    violations.push(`a second start changed ${JSON.stringify(before)} to ${JSON.stringify(after)}`);
  return soon(violations);
}

/** True while the process that was planted into records lives. */
export function isUntouched({ decoy }: DaemonLab): boolean {
  return isSameProcess(decoy.pid, decoy.startTime);
}
