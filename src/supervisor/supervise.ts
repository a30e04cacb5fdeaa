// The supervision of one worker: start, watch, start again, stop. It knows the outside world only through its deps.
import { messageOf } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { ControlAddress, StopRequest, SupervisorRecord, WorkerMessage } from '../protocol/instance.ts';
import { type Decision, decide, type LastWords, type WorkerEnd } from './restart-policy.ts';

/** A worker process, started by us or adopted. */
export interface SupervisedWorker {
  readonly pid: number;
  /** Resolves when it is gone; both are null for an adopted one, whose end only its parent is told. Never rejects. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  /** SIGTERM to the process. Does nothing once it is gone. */
  terminate(): void;
  /** SIGKILL to its group. Does nothing once it is gone. */
  kill(): void;
}

/** The part of the record that supervision changes. */
export type SupervisionStatus = Pick<
  SupervisorRecord,
  | 'state'
  | 'state_since'
  | 'reason'
  | 'hint'
  | 'exit_code'
  | 'ready_at'
  | 'restarts'
  | 'next_start_at'
  | 'worker_pid'
  | 'worker_control'
  | 'queue_id'
  | 'queue_name'
>;

export interface SupervisionDeps {
  readonly clock: Clock;
  readonly random: () => number;
  /** Rejects when there is no process; that counts as a crash. */
  startWorker(restarts: number): Promise<SupervisedWorker>;
  /** True when the worker says in time that it lives. Never rejects. */
  probe(control: ControlAddress, timeoutMs: number): Promise<boolean>;
  /** True when the worker has accepted it. Never rejects. */
  askToStop(control: ControlAddress, request: StopRequest): Promise<boolean>;
  /** After each change. Must not throw. */
  report(status: SupervisionStatus): void;
  /** The worker is gone and the next one not started yet: the time to sweep and to log. Must not reject. */
  afterWorker(ended: EndedWorker, decision: Decision): Promise<void>;
}

export interface EndedWorker {
  readonly pid: number | undefined;
  readonly instanceId: string | undefined;
}

export interface SupervisionOptions {
  readonly drainTimeoutMs: number;
  readonly livenessIntervalMs: number;
  /** Silence that ends a worker. */
  readonly livenessMsMax: number;
  /** Somebody waits for the first worker: an end before it was ever ready is the end of the supervision. */
  readonly isFirstStartFinal: boolean;
  readonly adopted: AdoptedWorker | undefined;
}

export interface AdoptedWorker {
  readonly worker: SupervisedWorker;
  readonly instanceId: string;
  readonly control: ControlAddress;
  readonly isReady: boolean;
  readonly queueId: string;
  readonly queueName: string | undefined;
  readonly restarts: number;
}

/** How the supervision ends: as the policy decided, or because the worker drained for a successor of this supervisor. */
export type SupervisionEnd = Exclude<Decision, { kind: 'restart' }> | { readonly kind: 'successor' };

/** A worker that does not take a stop over HTTP gets a signal, and what follows a drain (15 s, as in a container) before SIGKILL. */
const afterDrainMs = 15_000;
/** Leaving at once takes a worker milliseconds. */
const leaveMsMax = 5_000;
/** A worker unpacks and loads itself before its control port answers; on a slow disk that takes longer than a hang may. */
const firstAnswerMsMax = 120_000;

/** From the start of one worker to its end. */
interface Life {
  readonly worker: SupervisedWorker;
  /** Aborted when it is gone. */
  readonly over: AbortController;
  instanceId: string | undefined;
  control: ControlAddress | undefined;
  /** Elapsed time at which it became ready. */
  readyMs: number | undefined;
  lastWords: LastWords | undefined;
  /** How long it has not answered. */
  silentMs: number;
  wasHung: boolean;
  /** It has taken a stop over HTTP: from then on only its silence is a reason to kill it. */
  isTold: boolean;
}

/** Has state and a lifetime: one worker after the other until `run` resolves. */
export class Supervision {
  readonly #options: SupervisionOptions;
  readonly #deps: SupervisionDeps;
  #status: SupervisionStatus;
  #life: Life | undefined;
  #stop: StopRequest | undefined;
  #isForSuccessor = false;
  /** Ends the wait before a start. */
  readonly #stopped = new AbortController();

  constructor(options: SupervisionOptions, deps: SupervisionDeps) {
    const { adopted } = options;
    this.#options = options;
    this.#deps = deps;
    this.#status = {
      state: 'starting',
      state_since: new Date(deps.clock.now()).toISOString(),
      reason: null,
      hint: null,
      exit_code: null,
      ready_at: adopted?.isReady === true ? new Date(deps.clock.now()).toISOString() : null,
      restarts: adopted?.restarts ?? 0,
      next_start_at: null,
      worker_pid: null,
      worker_control: null,
      queue_id: adopted?.queueId ?? '',
      queue_name: adopted?.queueName,
    };
  }

  get status(): SupervisionStatus {
    return this.#status;
  }

  /** Until the worker has ended for good. Never rejects. */
  async run(): Promise<SupervisionEnd> {
    let crashesInRow = 0;
    let isFirstStart = this.#options.isFirstStartFinal;
    for (let { adopted } = this.#options; ; adopted = undefined) {
      if (this.#stop !== undefined && adopted === undefined) return this.#endWithoutWorker(this.#stop);
      const { end, ended } = await this.#oneWorker(adopted);
      isFirstStart &&= end.healthyMs === undefined;
      const decision = this.#decided(end, { crashesInRow, isFirstStart });
      if (decision.kind === 'restart') this.#backOff(decision);
      else this.#finish(decision);
      await this.#deps.afterWorker(ended, decision);
      if (decision.kind !== 'restart') return this.#isForSuccessor ? { kind: 'successor' } : decision;
      crashesInRow = decision.crashesInRow;
      await this.#deps.clock.sleep(decision.afterMs, this.#stopped.signal).catch(() => undefined);
    }
  }

  /** What the worker tells. False when it is not ours (a late word of an earlier one). */
  receive(message: WorkerMessage): boolean {
    const life = this.#life;
    if (life === undefined || life.worker.pid !== message.pid) return false;
    switch (message.type) {
      case 'started':
        life.instanceId = message.instance_id;
        life.control = message.control;
        life.silentMs = 0;
        this.#change({ worker_control: message.control });
        if (this.#stop !== undefined) void this.#deliver(life, this.#stop);
        break;
      case 'ready': {
        const { queue_id, queue_name = this.#status.queue_name } = message;
        life.readyMs = this.#deps.clock.elapsed();
        const isRunning = this.#stop === undefined;
        this.#change({
          queue_id,
          queue_name,
          ready_at: new Date(this.#deps.clock.now()).toISOString(),
          ...(isRunning ? { state: 'running', reason: null, hint: null } : {}),
        });
        break;
      }
      case 'draining':
        this.#change({ state: 'draining', reason: message.reason });
        break;
      case 'ending': {
        const { exit_code: exitCode, reason, hint, is_retryable: isRetryable } = message;
        life.lastWords = { exitCode, reason, hint, isRetryable };
        break;
      }
    }
    return true;
  }

  /** A rung of the stop ladder. */
  stop(request: StopRequest): void {
    this.#stop = request;
    this.#isForSuccessor = false;
    this.#stopped.abort();
    const life = this.#life;
    if (life === undefined) return;
    this.#change({ state: 'draining', reason: request.reason });
    void this.#deliver(life, request);
  }

  /** Drains the worker and ends with `successor`. False when it stops already. */
  restart(request: StopRequest): boolean {
    if (this.#stop !== undefined) return false;
    this.stop(request);
    this.#isForSuccessor = true;
    return true;
  }

  async #oneWorker(adopted: AdoptedWorker | undefined): Promise<{ end: WorkerEnd; ended: EndedWorker }> {
    let life: Life;
    try {
      life = await this.#begin(adopted);
    } catch (error) {
      const lastWords = {
        exitCode: 1,
        reason: `the worker could not be started: ${messageOf(error)}`,
        hint: null,
        isRetryable: true,
      };
      const end = { code: null, signal: null, lastWords, healthyMs: undefined, silentMs: undefined };
      return { end, ended: { pid: undefined, instanceId: undefined } };
    }
    void this.#watch(life);
    const exit = await life.worker.exited;
    life.over.abort();
    this.#life = undefined;
    const readyMs = life.readyMs === undefined ? undefined : this.#deps.clock.elapsed() - life.readyMs;
    const silentMs = life.wasHung ? life.silentMs : 0;
    const end: WorkerEnd = {
      ...exit,
      lastWords: life.wasHung ? undefined : life.lastWords,
      healthyMs: readyMs === undefined ? undefined : Math.max(0, readyMs - silentMs),
      silentMs: life.wasHung ? silentMs : undefined,
    };
    return { end, ended: { pid: life.worker.pid, instanceId: life.instanceId } };
  }

  async #begin(adopted: AdoptedWorker | undefined): Promise<Life> {
    const worker = adopted?.worker ?? (await this.#deps.startWorker(this.#status.restarts));
    const life: Life = {
      worker,
      over: new AbortController(),
      instanceId: adopted?.instanceId,
      control: adopted?.control,
      readyMs: adopted?.isReady === true ? this.#deps.clock.elapsed() : undefined,
      lastWords: undefined,
      silentMs: 0,
      wasHung: false,
      isTold: false,
    };
    this.#life = life;
    this.#change({
      state: life.readyMs === undefined ? 'starting' : 'running',
      worker_pid: worker.pid,
      worker_control: life.control ?? null,
      next_start_at: null,
    });
    if (this.#stop !== undefined) void this.#deliver(life, this.#stop);
    return life;
  }

  /** Kills a worker that does not answer. Time in which nobody ran, because the machine slept, is not its silence. */
  async #watch(life: Life): Promise<void> {
    const { clock } = this.#deps;
    const { livenessIntervalMs, livenessMsMax } = this.#options;
    for (let lookedMs = clock.elapsed(); !life.over.signal.aborted;) {
      await clock.sleep(livenessIntervalMs, life.over.signal).catch(() => undefined);
      const isAnswering = life.control !== undefined && (await this.#deps.probe(life.control, livenessIntervalMs));
      if (life.over.signal.aborted) return;
      const now = clock.elapsed();
      // A look takes the pause and the time of an answer; more than that is not the worker's.
      life.silentMs = isAnswering ? 0 : life.silentMs + Math.min(now - lookedMs, 2 * livenessIntervalMs);
      lookedMs = now;
      const limitMs = life.control === undefined ? Math.max(livenessMsMax, firstAnswerMsMax) : livenessMsMax;
      if (life.silentMs < limitMs) continue;
      life.wasHung = true;
      life.worker.kill();
      return;
    }
  }

  async #deliver(life: Life, request: StopRequest): Promise<void> {
    const isTold = life.control !== undefined && (await this.#deps.askToStop(life.control, request));
    life.isTold ||= isTold;
    if (!isTold) life.worker.terminate();
    const drainMs = (request.drain_timeout_ms ?? this.#options.drainTimeoutMs) + afterDrainMs;
    const limitMs = request.rung !== 'leave' ? drainMs : isTold ? leaveMsMax : 0;
    await this.#deps.clock.sleep(limitMs, life.over.signal).then(
      () => {
        if (request.rung === 'leave' || !life.isTold) life.worker.kill();
      },
      () => undefined,
    );
  }

  #decided(end: WorkerEnd, state: { crashesInRow: number; isFirstStart: boolean }): Decision {
    if (this.#stop === undefined) return decide(end, state, this.#deps.random);
    return { kind: 'stopped', reason: this.#stop.reason, exitCode: end.lastWords?.exitCode ?? end.code };
  }

  #backOff(decision: Extract<Decision, { kind: 'restart' }>): void {
    this.#change({
      state: decision.isCrashLoop ? 'crash-looping' : 'backing-off',
      reason: decision.reason,
      hint: decision.hint,
      exit_code: decision.exitCode,
      restarts: this.#status.restarts + 1,
      next_start_at: new Date(this.#deps.clock.now() + decision.afterMs).toISOString(),
      worker_pid: null,
      worker_control: null,
    });
  }

  #finish(decision: Exclude<Decision, { kind: 'restart' }>): void {
    this.#change({
      state: decision.kind,
      reason: decision.reason,
      hint: decision.kind === 'failed' ? decision.hint : null,
      exit_code: decision.exitCode,
      next_start_at: null,
      worker_pid: null,
      worker_control: null,
    });
  }

  #endWithoutWorker(request: StopRequest): SupervisionEnd {
    const decision = { kind: 'stopped', reason: request.reason, exitCode: this.#status.exit_code } as const;
    this.#finish(decision);
    return this.#isForSuccessor ? { kind: 'successor' } : decision;
  }

  #change(changes: Partial<SupervisionStatus>): void {
    const isNewState = changes.state !== undefined && changes.state !== this.#status.state;
    const since = isNewState ? { state_since: new Date(this.#deps.clock.now()).toISOString() } : {};
    this.#status = { ...this.#status, ...changes, ...since };
    this.#deps.report(this.#status);
  }
}
