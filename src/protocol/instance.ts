// What running workers and their supervisors tell other programs: records on disk, answers on loopback, `status --json`.
import * as v from 'valibot';

const text = v.string();
const pid = v.pipe(v.number(), v.integer(), v.minValue(1));
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** ISO 8601. */
const time = text;

/** What identifies a process for good: a pid alone may name a stranger after its end. */
const identity = {
  pid,
  /** Opaque (lib/process-tree.ts): tells this process from a later one with the same pid. */
  start_time: text,
  /** The pid means something only in there; empty where the system has no such thing. */
  pid_namespace: text,
};

/** Where a process of ours answers on 127.0.0.1, and the bearer token that it wants; records are owner-only. */
const controlSchema = v.object({ port, token: text });
export type ControlAddress = v.InferOutput<typeof controlSchema>;

/** `daemon_info.json` and `worker.pid`: written by the worker itself, in every mode. */
export const instanceRecordSchema = v.object({
  /** Of the marker that every child of this instance carries. */
  instance_id: v.pipe(text, v.minLength(1)),
  ...identity,
  version: text,
  mode: v.picklist(['foreground', 'daemon']),
  /** As the user typed it, and as the control plane knows it (empty until it is resolved). */
  queue: text,
  queue_id: text,
  /** As people call it; absent until it is resolved. */
  queue_name: v.optional(text),
  worker_id: v.nullable(text),
  directory: text,
  log_file: text,
  log_bytes_max: v.optional(count),
  log_backups_max: v.optional(count),
  control_plane_url: text,
  web_url: v.nullable(text),
  /** What listens where: `web`, `metrics`, `gateway`. */
  ports: v.record(text, v.number()),
  /** Absent in records of versions that had none. */
  control: v.optional(v.nullable(controlSchema)),
  started_at: time,
  stopped_at: v.nullable(time),
  /** One sentence; `vanished` ends are found by the next start. */
  stop_reason: v.nullable(text),
  /** What became of the calls that ran when it was told to stop. */
  drained: v.optional(v.object({ calls_finished: count, calls_stopped: count })),
});
export type InstanceRecord = v.InferOutput<typeof instanceRecordSchema>;

/** A closed list: whatever happens to a worker is one of these. */
export const workerStates = [
  /** Not yet listed by the control plane and polling; ends in `running` or in an end. */
  'starting',
  /** Takes work. */
  'running',
  /** Takes no new work and finishes what it has; ends in `stopped`. */
  'draining',
  /** Has crashed and will be started again soon. */
  'backing-off',
  /** Has crashed several times in a row and is started again once a minute. */
  'crash-looping',
  /** Ended for a reason that a restart does not mend (configuration, credentials); nothing runs. */
  'failed',
  /** Ended in order; nothing runs. */
  'stopped',
] as const;
export const workerStateSchema = v.picklist(workerStates);
export type WorkerState = v.InferOutput<typeof workerStateSchema>;

/** `supervisor.json`, beside the worker's record; also the supervisor's answer to `GET /v1/status`. */
export const supervisorRecordSchema = v.object({
  instance_id: v.pipe(text, v.minLength(1)),
  ...identity,
  version: text,
  queue: text,
  /** Empty until a worker has said it. */
  queue_id: text,
  queue_name: v.optional(text),
  directory: text,
  log_file: text,
  control: controlSchema,
  state: workerStateSchema,
  state_since: time,
  /** Why it is in this state, one sentence; null where that is plain. */
  reason: v.nullable(text),
  /** What to do about it, where there is something to do. */
  hint: v.optional(v.nullable(text)),
  /** Exit code of the worker's last end; null before the first, or when a signal ended it. */
  exit_code: v.nullable(v.number()),
  /** When a worker of this supervisor was last ready; null before the first was. */
  ready_at: v.optional(v.nullable(time)),
  /** Ends that were not asked for, since the supervisor started. */
  restarts: count,
  /** When `backing-off` or `crash-looping` ends. */
  next_start_at: v.nullable(time),
  worker_pid: v.nullable(pid),
  worker_control: v.nullable(controlSchema),
  started_at: time,
  stopped_at: v.nullable(time),
});
export type SupervisorRecord = v.InferOutput<typeof supervisorRecordSchema>;

/** What a supervisor gives its worker, as JSON in the environment variable of `supervisedByVariable`. */
export const supervisedBySchema = v.object({
  control: controlSchema,
  ...identity,
  /** Ends that were not asked for, before this start. */
  restarts: count,
});
export type SupervisedBy = v.InferOutput<typeof supervisedBySchema>;
export const supervisedByVariable = 'KUBIYA_INTERNAL_SUPERVISED_BY';
/** What relative paths of the command line are relative to; background processes stand in `/`. */
export const startDirectoryVariable = 'KUBIYA_INTERNAL_START_DIRECTORY';

/** What a supervisor is to do, as JSON in the environment variable of `supervisorChargeVariable`; its worker has it too. No secrets. */
export const supervisorChargeSchema = v.object({
  /** Of this supervisor: the marker that it carries. */
  instance_id: v.pipe(text, v.minLength(1)),
  queue: text,
  directory: text,
  locks_directory: text,
  log_file: text,
  log_bytes_max: count,
  log_backups_max: count,
  log_format: v.picklist(['text', 'json']),
  stderr_log_file: text,
  /** The program, and the words of the worker's command line without the tag. */
  executable: v.array(text),
  words: v.array(text),
  drain_timeout_ms: count,
  /** `start`: somebody waits, and a worker that ends before it was ever ready is not started again. */
  occasion: v.picklist(['start', 'restart', 'adopt']),
  /** The worker that has lost its supervisor. */
  adopted: v.nullable(
    v.object({
      pid,
      start_time: text,
      instance_id: text,
      control: controlSchema,
      /** False while it still starts. */
      is_ready: v.boolean(),
      queue_id: text,
      queue_name: v.optional(text),
      restarts: count,
    }),
  ),
});
export type SupervisorCharge = v.InferOutput<typeof supervisorChargeSchema>;
export const supervisorChargeVariable = 'KUBIYA_INTERNAL_SUPERVISOR';
/** Tests shorten the watch for a hung worker: milliseconds between two looks, a comma, milliseconds of silence that are too long. */
export const livenessVariable = 'KUBIYA_INTERNAL_LIVENESS_MS';

/** What a supervised worker tells its supervisor: `POST /v1/worker`. */
export const workerMessageSchema = v.variant('type', [
  /** Sent as soon as the worker's control port answers. */
  v.object({ type: v.literal('started'), pid, instance_id: text, control: controlSchema }),
  v.object({ type: v.literal('ready'), pid, queue_id: text, queue_name: v.optional(text), worker_id: text }),
  v.object({ type: v.literal('draining'), pid, reason: text }),
  /** Its last words. `is_retryable` false: a restart would end the same way. */
  v.object({
    type: v.literal('ending'),
    pid,
    exit_code: v.number(),
    reason: v.nullable(text),
    hint: v.nullable(text),
    is_retryable: v.boolean(),
  }),
]);
export type WorkerMessage = v.InferOutput<typeof workerMessageSchema>;

/** How far the stop has gone; each rung includes the ones before. */
export const stopRungs = ['drain', 'cancel', 'leave'] as const;
export const stopRequestSchema = v.object({
  rung: v.picklist(stopRungs),
  /** One sentence for the log. */
  reason: text,
  /** Shortens or extends the drain of this stop; default: the worker's own --drain-timeout. */
  drain_timeout_ms: v.optional(count),
  /** Of a restart, milliseconds since 1970: after it whoever asked has been told that it was not done. */
  expires_at_ms: v.optional(count),
});
export type StopRequest = v.InferOutput<typeof stopRequestSchema>;
export type StopRung = (typeof stopRungs)[number];

const reachability = v.object({
  address: text,
  is_up: v.boolean(),
  /** Since when it is up or down. */
  since: time,
  /** Why it is down. */
  reason: v.nullable(text),
});
export type Reachability = v.InferOutput<typeof reachability>;

/** A worker's answer to `GET /v1/status` on its control port. */
export const liveStatusSchema = v.object({
  instance_id: text,
  pid,
  version: text,
  state: v.picklist(['starting', 'running', 'draining']),
  state_since: time,
  queue: text,
  queue_id: text,
  worker_id: v.nullable(text),
  control_plane: v.nullable(reachability),
  temporal: v.nullable(reachability),
  /** Milliseconds since the last heartbeat that the control plane took; null before the first. */
  heartbeat_age_ms: v.nullable(count),
  /** Milliseconds since Temporal last saw this worker poll; null before it was asked. */
  poll_age_ms: v.nullable(count),
  slots: v.object({ used: count, max: count }),
  /** Ids of the executions that have a call running here now. */
  executions: v.array(text),
  rss_bytes: count,
  /** Things that a person should know, one sentence each; not a reason to be unhealthy. */
  warnings: v.array(text),
  /** Why readiness is refused; null when it is not. */
  not_ready_reason: v.nullable(text),
});
export type LiveStatus = v.InferOutput<typeof liveStatusSchema>;

/** `worker status --json` and an entry of `worker list --json`; keys are only ever added. */
export interface WorkerStatus {
  readonly queue: string;
  readonly type: 'local' | 'docker';
  readonly state: WorkerState;
  /** Running, answering, and seen by control plane and Temporal. */
  readonly healthy: boolean;
  readonly mode: 'foreground' | 'daemon';
  /** Of the supervisor, or of the foreground process. */
  readonly pid: number | null;
  readonly worker_pid: number | null;
  readonly worker_id: string | null;
  readonly queue_id: string | null;
  readonly started_at: string | null;
  readonly state_since: string | null;
  readonly restarts: number;
  readonly next_start_at: string | null;
  readonly heartbeat_age_ms: number | null;
  readonly poll_age_ms: number | null;
  readonly slots: { readonly used: number; readonly max: number } | null;
  readonly executions: readonly string[];
  readonly control_plane: Reachability | null;
  readonly temporal: Reachability | null;
  readonly webui_url: string | null;
  readonly metrics_port: number | null;
  readonly log_file: string;
  readonly log_bytes: number;
  readonly rss_bytes: number | null;
  readonly directory: string;
  readonly version: string;
  readonly warnings: readonly string[];
  /** Why it is not healthy, or why it ended. */
  readonly reason: string | null;
  /** What to do about it. */
  readonly hint?: string;
  /** Last lines of the log, when it is crash-looping or failed. */
  readonly log_tail?: readonly string[];
}

/** Names that the cloud knows as ephemeral; whatever carries one belongs to a single `exec --local`. */
export const ephemeralQueuePrefix = 'local-exec-';
