// The chaos tests' own judgement: a run in which nothing is wrong passes, and each thing that could be wrong is seen.
import { describe, expect, test } from 'bun:test';
import type { HistoryEvent } from '../support/temporal-history.ts';
import type { JournalLine } from '../support/worker-process.ts';
import { resumption, violations } from './kill-checks.ts';
import { callIdOf, type ExecutionRecord, type KillRun, stepsPerExecution } from './kill-run.ts';
import { createRandom } from './random.ts';
import { classify } from './windows.ts';

const id = 'x1';
const tag = 'e1';
const interrupted = 'The worker stopped while this call was running, so it is not known whether it took effect.';
const steps = Array.from({ length: stepsPerExecution }, (_, index) => index + 1);
const did = (step: number): string => `did ${tag}:${step}\n[exit code 0]`;

const record = (step: number, type: JournalLine['type'], result?: unknown): JournalLine => ({
  type,
  call: callIdOf(id, step),
  turn: step,
  result,
});

function report(step: number, type: string, outcome?: string): ExecutionRecord['events'][number] {
  return { event_id: '', event_type: type, data: { tool_execution_id: callIdOf(id, step), outcome } };
}
const done = report(0, 'done');

/** One execution whose third step was hit by the only kill after it took effect. */
function goodRun(): KillRun & { executions: [ExecutionRecord] } {
  const outcomeOf = (step: number): string => (step === 3 ? 'interrupted' : 'success');
  const execution: ExecutionRecord = {
    id,
    tag,
    view: { id, status: 'completed' },
    events: [
      ...steps.flatMap((step) => [report(step, 'tool_started'), report(step, 'tool_completed', outcomeOf(step))]),
      done,
    ],
    history: [],
    journal: steps.flatMap((step) => [record(step, 'received'), record(step, 'started'), record(step, 'finished')]),
    results: steps.map((step) => (step === 3 ? interrupted : did(step))),
  };
  const atKill = [record(2, 'started'), record(2, 'finished', { output: did(2) }), record(3, 'started')];
  return {
    executions: [execution],
    kills: [{ atMs: 1_000, readyAgainAtMs: 2_000, journals: new Map([[id, atKill]]), ledger: [`${tag}:3`] }],
    ledger: steps.map((step) => `${tag}:${step}`),
    hits: new Map(),
    leftovers: [],
  };
}

function changed(change: Partial<ExecutionRecord>): KillRun {
  const run = goodRun();
  return { ...run, executions: [{ ...run.executions[0], ...change }] };
}

describe('violations', () => {
  const { executions, ledger } = goodRun();
  const [{ results, events, journal }] = executions;
  const swapped = <Item>(items: readonly Item[], index: number, item: Item): Item[] => items.with(index, item);

  test('of a good run there are none', () => {
    expect(violations(goodRun())).toEqual([]);
  });

  test.each<[string, KillRun, RegExp]>([
    [
      'an execution that failed',
      changed({ view: { id, status: 'failed', error_message: 'why' } }),
      /ended failed: why/,
    ],
    ['a call that ran twice', { ...goodRun(), ledger: [...ledger, `${tag}:5`] }, /step 5: took effect 2 times/],
    ['a result without its effect', { ...goodRun(), ledger: ledger.toSpliced(4, 1) }, /step 5: 0 effects/],
    ['a call that started twice', changed({ journal: [...journal, record(5, 'started')] }), /step 5: started 2 times/],
    ['a lost result', changed({ results: results.slice(0, -1) }), /gave its model 9 results/],
    [
      'interrupted without a kill',
      changed({ results: swapped(results, 4, interrupted) }),
      /step 5: interrupted although/,
    ],
    [
      'another result than the journal had',
      changed({ results: swapped(results, 1, `${did(2)}!`) }),
      /step 2: the journal/,
    ],
    ['a report that is missing', changed({ events: events.toSpliced(13, 1) }), /step 7: reported as tool_started$/m],
    ['a start that is missing', changed({ events: events.toSpliced(12, 1) }), /step 7: reported as success/],
    [
      'a report that came twice',
      changed({ events: events.toSpliced(13, 0, ...events.slice(13, 14)) }),
      /success, success/,
    ],
    ['no end', changed({ events: events.slice(0, -1) }), /has 0 ends/],
    ['two ends', changed({ events: [...events, done] }), /has 2 ends/],
    ['something after the end', changed({ events: [...events, report(0, 'status')] }), /has 1 ends/],
    ['a line of nobody', { ...goodRun(), ledger: [...ledger, 'e9:1'] }, /lines of nobody/],
    ['a process that is left', { ...goodRun(), leftovers: ['7 sleep'] }, /left running: 7 sleep/],
  ])('%s', (_name, run, sentence) => {
    expect(violations(run).join('\n')).toMatch(sentence);
  });

  test('progress that never came is not fast', () => {
    const history: HistoryEvent[] = [{ id: 1, type: 'WorkflowExecutionStarted', atMs: 900, event: {} }];
    expect(resumption(changed({ history })).maxMs).toBe(Number.POSITIVE_INFINITY);
    const later: HistoryEvent = { id: 2, type: 'WorkflowTaskCompleted', atMs: 2_700, event: {} };
    expect(resumption(changed({ history: [...history, later] }))).toMatchObject({ count: 1, p90Ms: 700, maxMs: 700 });
  });
});

describe('the moment of a kill', () => {
  const input = {
    payloads: [{ data: new TextEncoder().encode(JSON.stringify({ call: { callId: callIdOf(id, 4) } })) }],
  };
  const scheduled: HistoryEvent = {
    id: 5,
    type: 'ActivityTaskScheduled',
    atMs: 5,
    event: { activityTaskScheduledEventAttributes: { activityType: { name: 'callTool' }, input } },
  };
  const completed: HistoryEvent = {
    id: 7,
    type: 'ActivityTaskCompleted',
    atMs: 7,
    // A number where the wire has a 64-bit one.
    event: { activityTaskCompletedEventAttributes: { scheduledEventId: 5 } } as unknown as HistoryEvent['event'],
  };
  const taskStarted: HistoryEvent = { id: 8, type: 'WorkflowTaskStarted', atMs: 8, event: {} };
  const ended: HistoryEvent = { id: 9, type: 'WorkflowExecutionCompleted', atMs: 9, event: {} };
  const momentOf = (
    history: readonly HistoryEvent[],
    journal: readonly JournalLine[],
    ledger: readonly string[] = [],
  ) => classify(history, journal, { atMs: 10, ledger }, () => `${tag}:4`)?.moment;

  test.each<[string | undefined, HistoryEvent[], JournalLine[], string[]]>([
    ['before_started', [scheduled], [], []],
    ['before_started', [scheduled], [record(4, 'received')], []],
    ['during_call', [scheduled], [record(4, 'started')], []],
    ['after_effect', [scheduled], [record(4, 'started')], [`${tag}:4`]],
    ['after_finished', [scheduled], [record(4, 'started'), record(4, 'finished')], [`${tag}:4`]],
    ['workflow_task', [scheduled, taskStarted], [], []],
    ['between', [scheduled, completed], [], []],
    [undefined, [scheduled, ended], [], []],
    [undefined, [{ ...scheduled, atMs: 11 }], [], []],
  ])('%p', (moment, history, journal, ledger) => {
    expect(momentOf(history, journal, ledger)).toBe(moment as ReturnType<typeof momentOf>);
  });
});

test('a seed gives the same numbers again, spread over [0, 1)', () => {
  const draw = (seed: number): number[] => Array.from({ length: 1_000 }, createRandom(seed));
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
  for (let tenth = 0; tenth < 10; tenth += 1) {
    expect(draw(7).filter((value) => Math.floor(value * 10) === tenth).length).toBeGreaterThan(50);
  }
});
