// What a registered worker knows of its two connections, when it has to be kept from work, and when time has jumped.
import type { KubiyaError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Reachability } from '../protocol/instance.ts';
import type { Log } from '../telemetry/log.ts';

export interface ControlPlaneHealth {
  view(): Reachability;
  /** After each heartbeat; without an error it arrived. */
  noteBeat(error: KubiyaError | undefined): void;
}

/** One lost heartbeat is no outage: the next one follows in two seconds (controlplane/heartbeat.ts). */
const failedBeatsMax = 2;

/** Up from its creation on. Each change is said once. */
export function createControlPlaneHealth(options: {
  readonly address: string;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}): ControlPlaneHealth {
  const { address, clock, log } = options;
  const nowText = (): string => new Date(clock.now()).toISOString();
  let view: Reachability = { address, is_up: true, since: nowText(), reason: null };
  let failures = 0;
  return {
    view: () => view,
    noteBeat: (error) => {
      failures = error === undefined ? 0 : failures + 1;
      if (error === undefined) {
        if (view.is_up) return;
        view = { address, is_up: true, since: nowText(), reason: null };
        log.info('Heartbeats arrive again');
      } else if (!view.is_up) {
        view = { ...view, reason: error.message };
      } else if (failures >= failedBeatsMax || error.kind === 'authentication') {
        view = { address, is_up: false, since: nowText(), reason: error.message };
        log.warn('Heartbeats do not arrive; work goes on', { reason: error.message });
      } else {
        log.debug('A heartbeat failed', { reason: error.message });
      }
    },
  };
}

export interface ReadinessFacts {
  readonly heartbeatAgeMs: number | null;
  readonly heartbeatIntervalMs: number;
  readonly controlPlane: Reachability;
  readonly temporal: Reachability;
  readonly pollAgeMs: number | null;
}

/** The server counts a worker as gone after as many (server/routes/workers.ts). */
const missedIntervals = 2.5;
/** A poll that brings nothing ends after 60 s and the next one begins: two were missed, and half of the third. */
const pollAgeMsMax = 150_000;

/** Why this worker should get no work now, as one sentence; null when it may. */
export function notReadyReason(facts: ReadinessFacts): string | null {
  const { heartbeatAgeMs, heartbeatIntervalMs, controlPlane, temporal, pollAgeMs } = facts;
  if (!temporal.is_up) return `Temporal at ${temporal.address} cannot be used: ${temporal.reason ?? 'no answer'}`;
  if (pollAgeMs !== null && pollAgeMs > pollAgeMsMax) return `Temporal has seen no poll for ${seconds(pollAgeMs)} s`;
  if (heartbeatAgeMs === null) return 'no heartbeat has arrived yet';
  if (heartbeatAgeMs <= missedIntervals * heartbeatIntervalMs) return null;
  const why = controlPlane.reason === null ? '' : `: ${controlPlane.reason}`;
  return `no heartbeat has arrived for ${seconds(heartbeatAgeMs)} s${why}`;
}

/** Each wait between two beats is an interval at most, and a beat takes 10 s at most. */
const missedAttempts = 3;

/** Whether the loop that sends heartbeats has stopped, whatever becomes of them; null when it lives. */
export function notLiveReason(lastAttemptAgeMs: number, heartbeatIntervalMs: number): string | null {
  if (lastAttemptAgeMs <= missedAttempts * heartbeatIntervalMs) return null;
  return `no heartbeat was tried for ${seconds(lastAttemptAgeMs)} s`;
}

const seconds = (ms: number): number => Math.round(ms / 1000);

/** Often enough that a worker is heard of seconds after its machine wakes; a look costs microseconds. */
const lookEveryMs = 2_000;
/** A busy machine delays a timer by less; a wall clock that is corrected moves less. */
const jumpMs = 5_000;

/**
 * Calls `onJump` when this process was not running for a while (a suspended machine, a stopped process) or the wall clock was
 * set forward. Ages are measured by the monotonic clock, so nothing else has to be corrected. Ends with the signal.
 */
export async function watchTime(clock: Clock, onJump: (ms: number) => void, signal: AbortSignal): Promise<void> {
  let wallMs = clock.now();
  let elapsedMs = clock.elapsed();
  while (!signal.aborted) {
    await clock.sleep(lookEveryMs, signal).catch(() => undefined);
    // A suspended machine stops the monotonic clock on some systems and not on others: either shows it.
    const passedMs = Math.max(clock.now() - wallMs, clock.elapsed() - elapsedMs);
    wallMs = clock.now();
    elapsedMs = clock.elapsed();
    if (!signal.aborted && passedMs > lookEveryMs + jumpMs) onJump(passedMs - lookEveryMs);
  }
}
