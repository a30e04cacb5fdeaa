// The heartbeat loop of a worker: one beat at once, then one per interval, until it is stopped.
import { KubiyaError } from '../errors.ts';
import { sleep } from '../lib/backoff.ts';
import type { Heartbeat } from '../protocol/control-plane.ts';
import type { ControlPlaneClient } from './client.ts';

/** A beat that takes longer is of no use: the next one is more recent. */
const heartbeatTimeoutMs = 10_000;

export interface HeartbeatOptions {
  readonly client: Pick<ControlPlaneClient, 'sendHeartbeat'>;
  readonly workerId: string;
  readonly intervalMs: number;
  /** What is true now. Must not throw. */
  readonly payload: () => Heartbeat | Promise<Heartbeat>;
  /** The server has forgotten this worker: register again and give the new id, or undefined to keep trying with the old one. The signal ends it. */
  readonly onUnknownWorker: (signal: AbortSignal) => Promise<string | undefined>;
  /** After each beat; `error` is absent when it arrived. Must not throw. */
  readonly onBeat?: ((beat: { readonly error?: KubiyaError | undefined }) => void) | undefined;
}

export interface HeartbeatLoop {
  /** Whether the first beat arrived; ready is only true after it did. */
  readonly first: Promise<boolean>;
  /** The id by which the server knows this worker now. */
  workerId(): string;
  /** Milliseconds since the last beat that arrived; undefined before the first. */
  lastSuccessAgeMs(): number | undefined;
  readonly counters: { readonly sent: number; readonly failed: number };
  /** No beat is sent or under way afterwards: a late one would revive a disconnected worker (existing-worker.md §3.2). */
  stop(): Promise<void>;
}

export function startHeartbeat(options: HeartbeatOptions): HeartbeatLoop {
  const stopped = new AbortController();
  const counters = { sent: 0, failed: 0 };
  let workerId = options.workerId;
  let lastSuccessMs: number | undefined;

  const beat = async (): Promise<boolean> => {
    try {
      const call = { signal: stopped.signal, timeoutMs: heartbeatTimeoutMs, attemptsMax: 1 };
      await options.client.sendHeartbeat(workerId, await options.payload(), call);
      lastSuccessMs = performance.now();
      counters.sent += 1;
      options.onBeat?.({});
      return true;
    } catch (error) {
      if (stopped.signal.aborted) return false;
      if (!(error instanceof KubiyaError)) throw error;
      counters.failed += 1;
      options.onBeat?.({ error });
      if (error.code === 'not_found' || error.code === 'worker_not_found')
        workerId = (await options.onUnknownWorker(stopped.signal)) ?? workerId;
      return false;
    }
  };
  const first = beat();
  const loop = first.then(async () => {
    while (!stopped.signal.aborted) {
      await sleep(options.intervalMs, stopped.signal).catch(() => undefined);
      if (!stopped.signal.aborted) await beat();
    }
  });
  return {
    first,
    workerId: () => workerId,
    counters,
    lastSuccessAgeMs: () => (lastSuccessMs === undefined ? undefined : performance.now() - lastSuccessMs),
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}
