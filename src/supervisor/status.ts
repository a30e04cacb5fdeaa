// What is true of a worker of this machine now: its records on disk, the answers of its processes, and whether those processes live.
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { sleep } from '../lib/backoff.ts';
import { processStartTime } from '../lib/process-tree.ts';
import { shellWord } from '../lib/text.ts';
import type {
  ControlAddress,
  InstanceRecord,
  LiveStatus,
  SupervisorRecord,
  WorkerStatus,
} from '../protocol/instance.ts';
import { askStatus, askSupervisor } from './ask.ts';
import { type OwnerState, ownerState } from './instance.ts';
import { type InstancePlace, readPlace } from './select.ts';

/** A process of ours answers within milliseconds; one that needs longer is frozen, or its machine is too busy to call it healthy. */
const answerMsMax = 1_000;
/** Records and processes change one after the other when a worker ends or starts; after so many looks what they say stands. */
const looksMax = 4;
const betweenLooksMs = 100;

/** Never rejects; takes a few milliseconds, and at most about a second when something is frozen. */
export async function readWorkerStatus(place: InstancePlace): Promise<WorkerStatus> {
  let current = place;
  for (let look = 1; ; look += 1) {
    const facts = await lookAt(current);
    if (look === looksMax || areConsistent(facts)) return statusOf(facts);
    await sleep(betweenLooksMs);
    // Both files are gone after a `worker clean` in this very moment: then what we knew last stands.
    current = readPlace(place.directory) ?? current;
  }
}

/** One look at everything. */
interface Facts {
  readonly place: InstancePlace;
  readonly record: InstanceRecord | null;
  readonly recordState: OwnerState | 'none';
  /** By its own answer if it gave one, else by its file. */
  readonly supervisor: SupervisorRecord | null;
  readonly supervisorState: OwnerState | 'none';
  /** Null when nobody was asked. */
  readonly supervisorAnswer: Answer<SupervisorRecord> | null;
  readonly workerAnswer: Answer<LiveStatus> | null;
}

type Answer<Value> =
  | { readonly kind: 'given'; readonly value: Value }
  /** The connection was refused or broken: it is just coming up, or just ending. */
  | { readonly kind: 'refused' }
  /** Nothing came in time: it is frozen. */
  | { readonly kind: 'late' };

async function lookAt(place: InstancePlace): Promise<Facts> {
  const { record } = place;
  const [supervisorState, recordState] = [stateOf(place.supervisor), stateOf(record)];
  const isSupervised = supervisorState === 'alive' || supervisorState === 'elsewhere';
  const controls = [
    isSupervised ? place.supervisor?.worker_control : null,
    record?.stopped_at === null ? record.control : null,
  ];
  const [supervisorAnswer, ...answers] = await Promise.all([
    isSupervised && place.supervisor !== null ? timed(place.supervisor.control, askSupervisor) : null,
    ...different(controls).map((control) => timed(control, askStatus)),
  ]);
  const supervisor = supervisorAnswer?.kind === 'given' ? supervisorAnswer.value : place.supervisor;
  // On a full disk the supervisor knows of a worker that no file names.
  const unwritten = supervisor?.worker_control ?? null;
  if (unwritten !== null && !controls.some((control) => control?.port === unwritten.port))
    answers.push(await timed(unwritten, askStatus));
  // Of two answers that of the present worker counts: a port of the one before may live a moment longer.
  const workerAnswer =
    answers.find(
      (answer) => answer.kind === 'given' && (!isSupervised || answer.value.pid === supervisor?.worker_pid),
    ) ??
    answers.find(({ kind }) => kind === 'late') ??
    answers.find(({ kind }) => kind === 'refused') ??
    null;
  return { place, record, recordState, supervisor, supervisorState, supervisorAnswer, workerAnswer };
}

function stateOf(record: InstanceRecord | SupervisorRecord | null): OwnerState | 'none' {
  return record === null ? 'none' : ownerState(record);
}

function different(controls: readonly (ControlAddress | null | undefined)[]): ControlAddress[] {
  const byPort = new Map(controls.flatMap((control) => (control ? [[control.port, control] as const] : [])));
  return [...byPort.values()];
}

async function timed<Value>(
  control: ControlAddress,
  ask: (control: ControlAddress, timeoutMs: number) => Promise<Value | undefined>,
): Promise<Answer<Value>> {
  const startMs = performance.now();
  const value = await ask(control, answerMsMax);
  if (value !== undefined) return { kind: 'given', value };
  // A refusal takes a millisecond; a timer may fire a little early.
  return { kind: performance.now() - startMs < answerMsMax / 2 ? 'refused' : 'late' };
}

/** The process that was found to be the worker's, when one lives. */
function workerPidOf({ supervisor, supervisorState, record, recordState }: Facts): number | null {
  if (supervisorState === 'alive') {
    const pid = supervisor?.worker_pid ?? null;
    if (pid === null) return null;
    const isThere = record?.pid === pid ? recordState === 'alive' : processStartTime(pid) !== null;
    return isThere ? pid : null;
  }
  if (recordState === 'alive') return record?.pid ?? null;
  return null;
}

/** False in the moment between two writes: something says that it runs and does not answer, or is gone without having said so. */
function areConsistent(facts: Facts): boolean {
  const { workerAnswer, supervisorAnswer, supervisor, supervisorState, record, recordState } = facts;
  if (supervisorAnswer?.kind === 'refused') return false;
  if (workerAnswer !== null && workerAnswer.kind !== 'refused') return true;
  if (supervisorState === 'alive') {
    // Between two workers, or before the first one listens, there is nobody to ask.
    return supervisor?.worker_control === null || supervisorAnswer?.kind === 'late';
  }
  if (recordState === 'alive') return false;
  const isEnded = (end: InstanceRecord | SupervisorRecord | null): boolean => end === null || end.stopped_at !== null;
  return isEnded(record) && isEnded(supervisor);
}

function statusOf(facts: Facts): WorkerStatus {
  const { supervisor, supervisorState, record, recordState } = facts;
  if (supervisor !== null && (supervisorState === 'alive' || supervisorState === 'elsewhere'))
    return supervised(facts, supervisor);
  if (record !== null && (recordState === 'alive' || recordState === 'elsewhere')) return alone(facts, record);
  return ended(facts);
}

/** A daemon whose supervisor lives, or may live in another container. */
function supervised(facts: Facts, supervisor: SupervisorRecord): WorkerStatus {
  const { supervisorAnswer, supervisorState } = facts;
  const live = answered(facts);
  const workerPid = workerPidOf(facts);
  const isLost =
    live === undefined && supervisor.worker_pid !== null && workerPid === null && supervisorState === 'alive';
  const isTrying = supervisor.state === 'crash-looping' && live?.state === 'starting';
  const state = isLost ? 'stopped' : live === undefined || isTrying ? supervisor.state : live.state;
  const isBetween = state === 'backing-off' || state === 'crash-looping';
  const isSilent = supervisor.worker_control !== null && (state === 'running' || state === 'starting');
  const silence = isLost ? 'the worker has gone, and its supervisor has not noticed' : silenceOf(facts, isSilent);
  const warnings =
    supervisorAnswer?.kind === 'given' || supervisorState === 'elsewhere'
      ? []
      : [`its supervisor (pid ${supervisor.pid}) does not answer, so a crash would not be noticed`];
  return {
    state,
    healthy: isHealthy(state, live),
    mode: 'daemon',
    pid: supervisor.pid,
    worker_pid: workerPid ?? live?.pid ?? null,
    started_at: supervisor.started_at,
    state_since: live !== undefined && state === live.state ? live.state_since : supervisor.state_since,
    restarts: supervisor.restarts,
    next_start_at: isBetween ? supervisor.next_start_at : null,
    ...basics(facts),
    warnings: [...warnings, ...(live?.warnings ?? [])],
    reason: silence ?? (state === 'running' ? (live?.not_ready_reason ?? null) : supervisor.reason),
    ...(supervisor.hint && live === undefined ? { hint: supervisor.hint } : {}),
    ...(state === 'crash-looping' ? { log_tail: logTail(logFileOf(facts)) } : {}),
  };
}

/** A worker in the foreground, or one of a daemon whose supervisor has gone. */
function alone(facts: Facts, record: InstanceRecord): WorkerStatus {
  const { supervisor } = facts;
  const live = answered(facts);
  const state = live?.state ?? (record.worker_id === null ? 'starting' : 'running');
  const isOrphan = record.mode === 'daemon';
  return {
    state,
    healthy: isHealthy(state, live),
    mode: record.mode,
    pid: isOrphan ? null : record.pid,
    worker_pid: record.pid,
    started_at: (isOrphan ? supervisor?.started_at : null) ?? record.started_at,
    state_since: live?.state_since ?? null,
    restarts: isOrphan ? (supervisor?.restarts ?? 0) : 0,
    next_start_at: null,
    ...basics(facts),
    warnings: [
      ...(isOrphan ? ['its supervisor has gone; the worker starts another within seconds'] : []),
      ...(live?.warnings ?? []),
    ],
    reason: silenceOf(facts, true) ?? (state === 'running' ? (live?.not_ready_reason ?? null) : null),
  };
}

/** Nothing of it runs. */
function ended(facts: Facts): WorkerStatus {
  const { supervisor, record } = facts;
  // A later worker in the foreground leaves the words of the daemon before it behind.
  const isDaemon = supervisor !== null && (record?.mode !== 'foreground' || record.started_at < supervisor.started_at);
  // A supervisor that was killed could not say how its worker ended, which may have said so itself.
  const isUntold = isDaemon && supervisor.stopped_at === null;
  const isToldByWorker =
    isUntold && record !== null && record.stopped_at !== null && record.started_at >= supervisor.started_at;
  const end = isDaemon && !isToldByWorker ? supervisor : record;
  const hasFailed = isDaemon && supervisor.state === 'failed';
  const reason = isDaemon && !isToldByWorker ? supervisor.reason : (record?.stop_reason ?? null);
  return {
    state: hasFailed ? 'failed' : 'stopped',
    healthy: false,
    mode: isDaemon ? 'daemon' : 'foreground',
    pid: null,
    worker_pid: null,
    started_at: end?.started_at ?? null,
    state_since: end?.stopped_at ?? null,
    restarts: isDaemon ? supervisor.restarts : 0,
    next_start_at: null,
    ...basics(facts),
    warnings: [],
    reason: end?.stopped_at === null ? vanished : reason,
    ...endHint(facts, hasFailed ? supervisor.hint : null, end?.stopped_at === null),
    ...(hasFailed ? { log_tail: logTail(logFileOf(facts)) } : {}),
  };
}

const vanished = 'vanished';

function endHint({ place }: Facts, said: string | null | undefined, hasVanished: boolean): Pick<WorkerStatus, 'hint'> {
  if (hasVanished)
    return { hint: `start it again with \`kubiya worker start --queue-id ${shellWord(place.queue)} -d\`` };
  return said ? { hint: said } : {};
}

type Basics = Omit<
  WorkerStatus,
  | 'state'
  | 'healthy'
  | 'mode'
  | 'pid'
  | 'worker_pid'
  | 'started_at'
  | 'state_since'
  | 'restarts'
  | 'next_start_at'
  | 'warnings'
  | 'reason'
  | 'log_tail'
>;

/** What is said in the same way whichever state it is in. */
function basics(facts: Facts): Basics {
  const { place, supervisor, record } = facts;
  const live = answered(facts);
  // After a restart the file may for a moment be that of the worker before.
  const current = live === undefined || record?.pid === live.pid ? record : null;
  const isRunning = live !== undefined;
  return {
    queue: place.queue,
    type: 'local',
    worker_id: live === undefined ? (current?.worker_id ?? null) : live.worker_id,
    queue_id:
      [live?.queue_id, supervisor?.queue_id, record?.queue_id].find((id) => id !== undefined && id !== '') ?? null,
    heartbeat_age_ms: live?.heartbeat_age_ms ?? null,
    poll_age_ms: live?.poll_age_ms ?? null,
    slots: live?.slots ?? null,
    executions: live?.executions ?? [],
    control_plane: live?.control_plane ?? null,
    temporal: live?.temporal ?? null,
    webui_url: isRunning ? (current?.web_url ?? null) : null,
    metrics_port: isRunning ? (current?.ports['metrics'] ?? null) : null,
    log_file: logFileOf(facts),
    log_bytes: logBytes(logFileOf(facts)),
    rss_bytes: live?.rss_bytes ?? null,
    directory: place.directory,
    version: live?.version ?? record?.version ?? supervisor?.version ?? '',
  };
}

function answered({ workerAnswer }: Facts): LiveStatus | undefined {
  return workerAnswer?.kind === 'given' ? workerAnswer.value : undefined;
}

function isHealthy(state: WorkerStatus['state'], live: LiveStatus | undefined): boolean {
  return state === 'running' && live !== undefined && live.not_ready_reason === null;
}

/** Why a worker that should answer did not. */
function silenceOf({ workerAnswer, supervisorState, recordState }: Facts, isExpected: boolean): string | null {
  if (!isExpected || workerAnswer?.kind === 'given') return null;
  if (supervisorState === 'elsewhere' || (supervisorState !== 'alive' && recordState === 'elsewhere'))
    return 'it runs in another container, where it cannot be seen from here';
  return workerAnswer?.kind === 'late' ? `it has not answered for ${answerMsMax / 1000} s` : 'it does not answer';
}

function logFileOf({ place, supervisor, record }: Facts): string {
  return record?.log_file ?? supervisor?.log_file ?? join(place.directory, 'logs', 'worker.log');
}

/** Of the log and its rotated files. */
function logBytes(logFile: string): number {
  const name = basename(logFile);
  let bytes = 0;
  try {
    for (const entry of readdirSync(dirname(logFile))) {
      if (entry !== name && !(entry.startsWith(`${name}.`) && /^\d+$/.test(entry.slice(name.length + 1)))) continue;
      bytes += statSync(join(dirname(logFile), entry), { throwIfNoEntry: false })?.size ?? 0;
    }
  } catch {
    // No directory: no bytes.
  }
  return bytes;
}

/** Enough to see an error and what led to it, and little enough for a screen. */
const tailLinesMax = 10;
const tailBytesMax = 16 * 1024;

function logTail(logFile: string): readonly string[] {
  try {
    const descriptor = openSync(logFile, 'r');
    try {
      const { size } = fstatSync(descriptor);
      const bytes = Buffer.alloc(Math.min(size, tailBytesMax));
      const length = readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
      const lines = bytes.toString('utf8', 0, length).split('\n').filter(Boolean);
      // The first one may have lost its beginning.
      return lines.slice(size > bytes.length ? 1 : 0).slice(-tailLinesMax);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // No log, no tail.
    return [];
  }
}
