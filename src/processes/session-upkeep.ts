// Keeps a registered worker's session true while it runs: registers again, takes new keys, notices lost claims, ended executions and jumps of time.
import type { Config } from '../config/config.ts';
import type { ControlPlaneClient } from '../controlplane/client.ts';
import type { HeartbeatLoop } from '../controlplane/heartbeat.ts';
import { exitCodes, messageOf } from '../errors.ts';
import { backoffDelayMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import type { WorkerStartResponse } from '../protocol/control-plane.ts';
import type { Log } from '../telemetry/log.ts';
import type { Redactor } from '../telemetry/redact.ts';
import type { TemporalAddress } from '../worker/deps.ts';
import type { ExecutionEnd } from '../worker/executions.ts';
import type { RunningWorker } from '../worker/run.ts';
import { isRefusedForGood, temporalOf } from './registration.ts';
import { watchTime } from './session-health.ts';

/** Why this worker has to end although nobody told it to. */
export interface LostSession {
  /** One sentence. */
  readonly reason: string;
  readonly exitCode: number;
  /** A new start may find what this one has lost. */
  readonly isRetryable: boolean;
}

export interface UpkeepOptions {
  readonly config: Config;
  readonly client: Pick<ControlPlaneClient, 'getExecution'>;
  readonly registration: WorkerStartResponse;
  readonly worker: RunningWorker;
  readonly register: (signal: AbortSignal) => Promise<WorkerStartResponse>;
  readonly clock: Clock;
  readonly log: Log;
  readonly redactor: Redactor;
  /** Told of every later registration that this worker can go on with. */
  readonly onRegistered: (registration: WorkerStartResponse) => void;
}

export interface Upkeep {
  /** Resolves when the session cannot go on; else never. */
  readonly lost: Promise<LostSession>;
  /** For the heartbeat loop: the new id, or undefined to try again later. */
  onUnknownWorker(signal: AbortSignal): Promise<string | undefined>;
  /** The Temporal that is used now. */
  temporalAddress(): string;
  /** Begins to watch; the loop is only there once the worker polls. */
  watch(heartbeat: HeartbeatLoop): void;
  stop(): Promise<void>;
}

/** How soon a refusal of Temporal is noticed here, after its own look has seen it. */
const lookEveryMs = 1_000;
/** A key that Temporal refuses is renewed at once, then ever less often: a control plane that hands out a wrong one is not hammered. */
const renewBackoff = { firstMs: 10_000, mostMs: 60_000 };
/** A server that is started again is back by then; one that is away for longer may have moved, which only the control plane knows. */
const movedAfterMs = 20_000;
/** An outage has no limit, and each question is a registration. */
const movedBackoff = { firstMs: 20_000, mostMs: 600_000 };
/** An execution without a running call may have been ended by somebody else: its state is asked for this often. */
const settleEveryMs = 5_000;
/** So many a round; the next round asks for the others. */
const settledPerRoundMax = 20;

export function createUpkeep(options: UpkeepOptions): Upkeep {
  return new SessionUpkeep(options);
}

class SessionUpkeep implements Upkeep {
  readonly lost: Promise<LostSession>;
  readonly #options: UpkeepOptions;
  readonly #stopped = new AbortController();
  #registration: WorkerStartResponse;
  #temporal: TemporalAddress;
  #lose: (lost: LostSession) => void = () => undefined;
  #pending: Promise<string> | undefined;
  #watching: Promise<unknown> = Promise.resolve();

  constructor(options: UpkeepOptions) {
    this.#options = options;
    this.#registration = options.registration;
    this.#temporal = temporalOf(options.config, options.registration);
    this.lost = new Promise((resolve) => (this.#lose = resolve));
  }

  async onUnknownWorker(signal: AbortSignal): Promise<string | undefined> {
    const { log } = this.#options;
    log.warn('The control plane no longer knows this worker, registering again', {
      worker: this.#registration.worker_id,
    });
    try {
      return await this.#registerAgain(signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      const reason = messageOf(error);
      if (this.#registration.queue_ephemeral === true && isRefusedForGood(error)) {
        const sentence = `this worker has lost its temporary queue: ${reason}`;
        this.#lose({ reason: sentence, exitCode: exitCodes.api_refused, isRetryable: false });
      } else log.warn('Registering again failed; it is tried again with the next heartbeat', { reason });
      return undefined;
    }
  }

  temporalAddress(): string {
    return this.#temporal.address;
  }

  watch(heartbeat: HeartbeatLoop): void {
    const { config, clock, log, worker } = this.#options;
    const { signal } = this.#stopped;
    const onJump = (ms: number): void => {
      log.info(`This process did not run for ${Math.round(ms / 1000)} s, or the clock was set`);
      heartbeat.beatNow();
      worker.wake();
    };
    const renew = async (): Promise<void> => heartbeat.setWorkerId(await this.#registerAgain(signal));
    const isEndAwaited = config.worker.isOnce || config.worker.idleTimeoutMs !== undefined;
    this.#watching = Promise.all([
      watchTime(clock, onJump, signal),
      renewWhenRefused({ worker, clock, log, renew }, signal),
      askWhenMoved({ worker, clock, log, renew }, signal),
      isEndAwaited ? settleOpen(this.#options, signal) : undefined,
    ]);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#watching;
  }

  /** Never two at once. */
  async #registerAgain(signal: AbortSignal): Promise<string> {
    this.#pending ??= this.#register(signal);
    try {
      return await this.#pending;
    } finally {
      this.#pending = undefined;
    }
  }

  async #register(signal: AbortSignal): Promise<string> {
    return await this.#adopt(await this.#options.register(AbortSignal.any([signal, this.#stopped.signal])));
  }

  async #adopt(next: WorkerStartResponse): Promise<string> {
    const { log, redactor, config, onRegistered } = this.#options;
    const moved = movedTo(this.#registration, next);
    this.#registration = next;
    if (moved !== undefined) {
      const reason = `the control plane ${moved}, which only a new start can take up`;
      this.#lose({ reason, exitCode: 1, isRetryable: true });
      return next.worker_id;
    }
    const address = temporalOf(config, next);
    for (const secret of [address.apiKey, next.litellm_api_key]) if (secret) redactor.register(secret);
    onRegistered(next);
    log.info('Registered again', { worker: next.worker_id });
    if (!isSameTemporal(this.#temporal, address)) {
      await this.#renew(address);
    }
    return next.worker_id;
  }

  /** The worker has its new id in any case; what could not be reached is tried again with the next registration. */
  async #renew(address: TemporalAddress): Promise<void> {
    const { log, worker } = this.#options;
    try {
      await worker.renew(address);
      log.info('Temporal is used with what the control plane now says', { address: address.address });
      this.#temporal = address;
    } catch (error) {
      log.warn('Temporal cannot be used with what the control plane now says', {
        address: address.address,
        reason: messageOf(error),
      });
    }
  }
}

/** What a running worker cannot change. */
function movedTo(before: WorkerStartResponse, next: WorkerStartResponse): string | undefined {
  if (next.temporal_namespace !== before.temporal_namespace)
    return `has moved this queue to the namespace ${next.temporal_namespace}`;
  if (next.task_queue_name !== before.task_queue_name) return 'has given this queue another name in Temporal';
  if ((next.workflow_signing_key || null) !== (before.workflow_signing_key || null)) return 'has a new signing key';
  return undefined;
}

function isSameTemporal(one: TemporalAddress, other: TemporalAddress): boolean {
  return one.address === other.address && one.isTls === other.isTls && one.apiKey === other.apiKey;
}

type RenewOptions = Pick<UpkeepOptions, 'worker' | 'clock' | 'log'> & {
  readonly renew: () => Promise<void>;
};

async function renewWhenRefused({ worker, clock, log, renew }: RenewOptions, signal: AbortSignal): Promise<void> {
  let attempt = 0;
  let notBeforeMs = 0;
  while (!signal.aborted) {
    await clock.sleep(lookEveryMs, signal).catch(() => undefined);
    if (!worker.temporal().isRefused) attempt = 0;
    else if (!signal.aborted && (attempt === 0 || clock.elapsed() >= notBeforeMs)) {
      attempt += 1;
      try {
        await renew();
      } catch (error) {
        if (!signal.aborted) log.warn('A new key for Temporal could not be had', { attempt, reason: messageOf(error) });
      }
      // Half of it is certain: the next look at Temporal has to see what the new key does.
      notBeforeMs = clock.elapsed() + renewBackoff.firstMs + backoffDelayMs(attempt, renewBackoff);
    }
  }
}

/** A Temporal that stays away may have another address by now. */
async function askWhenMoved({ worker, clock, log, renew }: RenewOptions, signal: AbortSignal): Promise<void> {
  let attempt = 0;
  let nextMs = 0;
  while (!signal.aborted) {
    await clock.sleep(lookEveryMs, signal).catch(() => undefined);
    const { isUp, isRefused } = worker.temporal();
    if (isUp || isRefused) {
      attempt = 0;
      nextMs = clock.elapsed() + movedAfterMs;
    } else if (!signal.aborted && clock.elapsed() >= nextMs) {
      attempt += 1;
      try {
        await renew();
      } catch (error) {
        if (!signal.aborted)
          log.warn('The control plane could not be asked where Temporal is', { attempt, reason: messageOf(error) });
      }
      nextMs = clock.elapsed() + movedBackoff.firstMs + backoffDelayMs(attempt, movedBackoff);
    }
  }
}

const ends: ReadonlyMap<string, ExecutionEnd> = new Map([
  ['completed', 'completed'],
  ['failed', 'failed'],
  ['cancelled', 'cancelled'],
  ['interrupted', 'cancelled'],
  ['terminated', 'gone'],
  ['not_found', 'gone'],
]);

/** The end of an execution that somebody terminated, or that ended at another worker, never reaches this one by itself. */
async function settleOpen(
  { worker, client, clock }: Pick<UpkeepOptions, 'worker' | 'client' | 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(settleEveryMs, signal).catch(() => undefined);
    const { open, live } = worker.work();
    const quiet = open.filter((id) => !live.includes(id)).slice(0, settledPerRoundMax);
    for (const id of quiet) {
      if (signal.aborted) return;
      const status = await client.getExecution(id, { signal, attemptsMax: 1 }).then(
        (execution) => execution.status.toLowerCase(),
        (error: unknown) => (isRefusedForGood(error) ? 'not_found' : 'unknown'),
      );
      const end = ends.get(status);
      if (end !== undefined) worker.settle(id, end);
    }
  }
}
