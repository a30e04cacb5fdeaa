// Turns of an agent while its control plane hangs, beside turns while it answers: measured is the time between two model calls.
import type { EventView, ExecutionView, LocalServer } from '../support/local-server.ts';
import type { ScriptedReply } from '../support/model-servers.ts';
import { until } from '../support/until.ts';

export interface HangRunOptions {
  readonly server: LocalServer;
  readonly model: Turns;
  readonly queueId: string;
  /** Of each execution; the first few are not measured. */
  readonly turns: number;
  /** Executions of each kind, one after the other. */
  readonly rounds: number;
}

export interface HangRun {
  /** Milliseconds of our own from one question to the model to the next, ascending. */
  readonly hanging: readonly number[];
  readonly control: readonly number[];
  /** The longest time for which the control plane hung. */
  readonly hungMs: number;
  readonly executions: readonly { readonly view: ExecutionView; readonly events: readonly EventView[] }[];
}

/** Until the caches are warm and the control plane hangs. */
const unmeasuredTurns = 5;
const endLimitMs = 120_000;

/** A model that asks for one command after the other, and notes when it is asked. */
export interface Turns {
  script(): ScriptedReply;
  /** Since `begin`, without the time that the model itself took. */
  readonly askedMs: readonly number[];
  begin(turns: number): void;
}

export function createTurns(answerDelayMs: number): Turns {
  const askedMs: number[] = [];
  let left = 0;
  return {
    askedMs,
    begin: (turns) => {
      askedMs.length = 0;
      left = turns;
    },
    script: () => {
      askedMs.push(performance.now() - answerDelayMs * askedMs.length);
      left -= 1;
      const calls = [{ name: 'run_shell_command', arguments: { command: `echo ${left} turns are left` } }];
      return {
        ...(left > 0 ? { type: 'calls', calls } : { type: 'text', text: 'done' }),
        delayMs: answerDelayMs,
        burst: Number.MAX_SAFE_INTEGER,
      };
    },
  };
}

export async function runHangs(options: HangRunOptions): Promise<HangRun> {
  const times: Record<'hanging' | 'control', number[]> = { hanging: [], control: [] };
  const executions: { view: ExecutionView; events: readonly EventView[] }[] = [];
  let hungMs = 0;
  for (let round = 0; round < options.rounds; round += 1) {
    for (const kind of ['control', 'hanging'] as const) {
      const { intervals, measuredMs, ...execution } = await runOne(options, kind === 'hanging');
      times[kind].push(...intervals);
      if (kind === 'hanging') hungMs = Math.max(hungMs, measuredMs);
      executions.push(execution);
    }
  }
  const ascending = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
  return { hanging: ascending(times.hanging), control: ascending(times.control), hungMs, executions };
}

async function runOne({ server, model, queueId, turns }: HangRunOptions, isHanging: boolean) {
  model.begin(turns);
  const id = await server.execute('go', queueId);
  const isAsked = (count: number): Promise<void> =>
    until(() => model.askedMs.length >= count, { limitMs: endLimitMs * 2, what: () => `${count} turns are begun` });
  await isAsked(unmeasuredTurns);
  const startMs = performance.now();
  // Its process stands still, and its connections stay open: nobody is told anything. Temporal is another process.
  if (isHanging) server.process.signal('SIGSTOP');
  try {
    await isAsked(turns);
  } finally {
    server.process.signal('SIGCONT');
  }
  const measuredMs = performance.now() - startMs;
  const intervals = model.askedMs
    .slice(unmeasuredTurns)
    .map((at, index) => at - (model.askedMs[index + unmeasuredTurns - 1] ?? 0));
  return { intervals, measuredMs, view: await server.ended(id, endLimitMs), events: await server.events(id) };
}

export function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? Number.NaN;
}
