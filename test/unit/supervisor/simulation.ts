// A supervision over a fake clock and workers that are only a plan: how long until ready, how long until which end.
import type { StopRequest, WorkerMessage } from '../../../src/protocol/instance.ts';
import type { Decision } from '../../../src/supervisor/restart-policy.ts';
import {
  Supervision,
  type SupervisionEnd,
  type SupervisionOptions,
  type SupervisionStatus,
  type SupervisedWorker,
} from '../../../src/supervisor/supervise.ts';
import { createFakeClock, type FakeClock } from './fake-clock.ts';

export interface Plan {
  /** Undefined: it never becomes ready. */
  readonly readyAfterMs?: number;
  /** Undefined: it runs until it is stopped. */
  readonly endsAfterMs?: number;
  readonly code?: number | null;
  readonly signal?: string | null;
  readonly lastWords?: Partial<Extract<WorkerMessage, { type: 'ending' }>>;
  /** From when on it does not answer, and does not end by itself either. */
  readonly silentAfterMs?: number;
  /** It does not take a stop over HTTP. */
  readonly isDeaf?: boolean;
  /** It does not mind SIGTERM. */
  readonly ignoresTerm?: boolean;
  /** There is no process at all. */
  readonly startError?: Error;
}

export interface Simulation {
  readonly clock: FakeClock;
  readonly supervision: Supervision;
  /** Elapsed time of each start. */
  readonly starts: readonly number[];
  readonly decisions: readonly Decision[];
  /** What the workers were told and sent, with when. */
  readonly told: readonly string[];
  readonly states: readonly SupervisionStatus['state'][];
  readonly end: SupervisionEnd | undefined;
}

const control = { port: 1, token: 'token' };

/** `plans` gives the worker of the given number, from 0 on. */
export function simulate(plans: (number: number) => Plan, options: Partial<SupervisionOptions> = {}): Simulation {
  const clock = createFakeClock();
  const starts: number[] = [];
  const decisions: Decision[] = [];
  const told: string[] = [];
  const states: SupervisionStatus['state'][] = [];
  let silentFromMs = Infinity;
  let endNow: ((end: { code: number | null; signal: string | null }) => void) | undefined;
  let deaf = false;
  let end: SupervisionEnd | undefined;
  const say = (what: string): void => void told.push(`${clock.elapsed()} ${what}`);

  const start = (number: number): SupervisedWorker => {
    const plan = plans(number);
    if (plan.startError !== undefined) throw plan.startError;
    const pid = 100 + number;
    const over = new AbortController();
    const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
      endNow = (how) => {
        over.abort();
        resolve(how);
      };
    });
    silentFromMs = clock.elapsed() + (plan.silentAfterMs ?? Infinity);
    deaf = plan.isDeaf ?? false;
    const later = (ms: number | undefined, act: () => void): void => {
      if (ms !== undefined) void clock.sleep(ms, over.signal).then(act, () => undefined);
    };
    later(0, () => supervision.receive({ type: 'started', pid, instance_id: `i-${number}`, control }));
    later(plan.readyAfterMs, () => supervision.receive({ type: 'ready', pid, queue_id: 'q', worker_id: 'w' }));
    later(plan.endsAfterMs, () => {
      if (plan.lastWords !== undefined)
        supervision.receive({
          type: 'ending',
          pid,
          exit_code: plan.code ?? 1,
          reason: null,
          hint: null,
          is_retryable: true,
          ...plan.lastWords,
        });
      endNow?.({ code: plan.code ?? null, signal: plan.signal ?? null });
    });
    return {
      pid,
      exited,
      terminate: () => {
        say('SIGTERM');
        if (plan.ignoresTerm !== true) endNow?.({ code: 0, signal: null });
      },
      kill: () => {
        say('SIGKILL');
        endNow?.({ code: null, signal: 'SIGKILL' });
      },
    };
  };
  const supervision = new Supervision(
    {
      drainTimeoutMs: 30_000,
      livenessIntervalMs: 5_000,
      livenessMsMax: 60_000,
      isFirstStartFinal: false,
      adopted: undefined,
      ...options,
    },
    {
      clock,
      random: () => 0.5,
      startWorker: () => {
        starts.push(clock.elapsed());
        return Promise.resolve().then(() => start(starts.length - 1));
      },
      probe: async () => {
        if (clock.elapsed() < silentFromMs) return true;
        await clock.sleep(5_000);
        return false;
      },
      askToStop: (_, { rung }: StopRequest) => {
        if (deaf) return Promise.resolve(false);
        say(`HTTP ${rung}`);
        if (rung !== 'drain') endNow?.({ code: 130, signal: null });
        return Promise.resolve(true);
      },
      report: ({ state }) => void (states.at(-1) === state || states.push(state)),
      afterWorker: (_, decision) => {
        decisions.push(decision);
        return Promise.resolve();
      },
    },
  );
  void supervision.run().then((result) => (end = result));
  return {
    clock,
    supervision,
    starts,
    decisions,
    told,
    states,
    get end() {
      return end;
    },
  };
}
