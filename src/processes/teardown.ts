// Taking a process down: the steps of its construction in reverse, each with a limit, none able to keep the next from running.
import { messageOf } from '../errors.ts';
import { sleep } from '../lib/backoff.ts';
import type { Log } from '../telemetry/log.ts';

export interface Teardown {
  /** Call it right after a thing was made; `limitMs` is how long its end may take. */
  add(name: string, limitMs: number, step: () => Promise<void> | void): void;
  /** Runs every step once, the last added first. Never rejects. */
  run(): Promise<void>;
}

export function createTeardown(log: () => Log): Teardown {
  const steps: { readonly name: string; readonly limitMs: number; readonly step: () => Promise<void> | void }[] = [];
  return {
    add: (name, limitMs, step) => void steps.push({ name, limitMs, step }),
    run: async () => {
      for (let next = steps.pop(); next !== undefined; next = steps.pop()) await runStep(next, log());
    },
  };
}

async function runStep(
  entry: { name: string; limitMs: number; step: () => Promise<void> | void },
  log: Log,
): Promise<void> {
  const over = new AbortController();
  try {
    const limit = sleep(entry.limitMs, over.signal).then(
      () =>
        log.warn('A step of the stop took too long and is left behind', { step: entry.name, limit_ms: entry.limitMs }),
      () => undefined,
    );
    await Promise.race([entry.step(), limit]);
  } catch (error) {
    log.warn('A step of the stop failed', { step: entry.name, reason: messageOf(error) });
  } finally {
    over.abort();
  }
}
