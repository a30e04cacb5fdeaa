// What must be true after a worker was killed many times: each violation as a sentence, and how fast executions went on.
import { callIdOf, type ExecutionRecord, type KillRun, stepsPerExecution } from './kill-run.ts';
import { classify, resumedAfterMs } from './windows.ts';

/** How the tools' results and events name a call whose outcome nobody knows. */
const interruptedWords = 'it is not known whether it took effect';

export function violations(run: KillRun): string[] {
  const found = run.executions.flatMap((execution) => executionViolations(run, execution));
  const tags = new Set(run.executions.map(({ tag }) => tag));
  const strangers = run.ledger.filter((line) => !tags.has(line.split(':')[0] ?? ''));
  if (strangers.length > 0) found.push(`the ledger has lines of nobody: ${strangers.join(', ')}`);
  if (run.leftovers.length > 0) found.push(`left running: ${run.leftovers.join(', ')}`);
  return found;
}

function executionViolations(run: KillRun, execution: ExecutionRecord): string[] {
  const { tag, view, results } = execution;
  const found: string[] = [];
  if (view.status !== 'completed') found.push(`${tag} ended ${view.status}: ${view.error_message ?? ''}`);
  if (results.length !== stepsPerExecution) found.push(`${tag} gave its model ${results.length} results`);
  const ends = execution.events.filter(({ event_type: type }) => type === 'done').length;
  if (ends !== 1 || execution.events.at(-1)?.event_type !== 'done')
    found.push(`${tag} has ${ends} ends among its events`);
  for (let step = 1; step <= stepsPerExecution; step += 1) {
    found.push(...stepViolations(run, execution, step).map((sentence) => `${tag} step ${step}: ${sentence}`));
  }
  return found;
}

function stepViolations(run: KillRun, execution: ExecutionRecord, step: number): string[] {
  const { id, tag, events, journal, results } = execution;
  const callId = callIdOf(id, step);
  const found: string[] = [];
  const effects = run.ledger.filter((line) => line === `${tag}:${step}`).length;
  const result = results[step - 1] ?? '';
  const isInterrupted = result.includes(interruptedWords);
  if (effects > 1) found.push(`took effect ${effects} times`);
  if (!isInterrupted && !(effects === 1 && result.includes(`did ${tag}:${step}`))) {
    found.push(`${effects} effects, and its result is ${JSON.stringify(result)}`);
  }
  if (isInterrupted && !wasHit(run, execution, callId)) found.push('interrupted although no kill hit it while it ran');
  const starts = journal.filter((line) => line.call === callId && line.type === 'started').length;
  if (starts > 1) found.push(`started ${starts} times`);
  const recorded = recordedResult(run, id, callId);
  if (recorded !== undefined && recorded !== result) {
    found.push(
      `the journal had ${JSON.stringify(recorded)} at a kill, and the model was told ${JSON.stringify(result)}`,
    );
  }
  const reports = events.filter(({ data }) => data['tool_execution_id'] === callId);
  const words = reports
    .filter(({ event_type: type }) => type !== 'tool_output')
    .map(({ event_type: type, data }) => (type === 'tool_completed' ? data['outcome'] : type));
  // A worker that died right after the start may have had no time to say so.
  const expected = isInterrupted ? /^(tool_started, )?interrupted$/ : /^tool_started, success$/;
  if (!expected.test(words.join(', '))) found.push(`reported as ${words.join(', ') || 'nothing'}`);
  return found;
}

/** A kill came after the call had started and before it had finished. */
function wasHit(run: KillRun, execution: ExecutionRecord, callId: string): boolean {
  return run.kills.some((kill) => {
    const lines = (kill.journals.get(execution.id) ?? []).filter(({ call }) => call === callId);
    return lines.some(({ type }) => type === 'started') && !lines.some(({ type }) => type === 'finished');
  });
}

/** What the journal held as the call's result at the first kill that came after it. */
function recordedResult(run: KillRun, executionId: string, callId: string): string | undefined {
  for (const kill of run.kills) {
    const line = kill.journals.get(executionId)?.find(({ call, type }) => call === callId && type === 'finished');
    const result = line?.result as { output?: unknown } | undefined;
    if (typeof result?.output === 'string') return result.output;
  }
  return undefined;
}

export interface Resumption {
  readonly count: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly maxMs: number;
}

/** From the new worker's Ready to the first progress, for each execution that was open at each kill. */
export function resumption(run: KillRun): Resumption {
  const times = run.executions.flatMap(({ history, tag, journal }) =>
    run.kills.flatMap((kill) => {
      const wasOpen = classify(history, journal, kill, () => tag) !== undefined;
      return wasOpen ? [resumedAfterMs(history, kill) ?? Number.POSITIVE_INFINITY] : [];
    }),
  );
  times.sort((left, right) => left - right);
  const at = (share: number): number => Math.round(times[Math.ceil(share * times.length) - 1] ?? Number.NaN);
  return { count: times.length, p50Ms: at(0.5), p90Ms: at(0.9), maxMs: at(1) };
}
