// Rounds of chaos around a daemon with running executions: one event each, then everything that must be true.
import type { EventView, ExecutionView } from '../support/local-server.ts';
import { type JournalLine, readJournals } from '../support/worker-process.ts';
import { until } from '../support/until.ts';
import { type EventName, eventNames, events, isUntouched } from './daemon-events.ts';
import { DaemonLab, type DaemonLabOptions } from './daemon-lab.ts';
import { violations as executionViolations } from './kill-checks.ts';
import { type ExecutionRecord, stepsPerExecution } from './kill-run.ts';
import { createRandom } from './random.ts';
import { pollStatus, settledScene } from './status-poll.ts';

export interface DaemonChaosOptions extends DaemonLabOptions {
  readonly seed: number;
  readonly rounds: number;
  /** Drawn from; every one comes once before any comes twice. Default: all. */
  readonly events?: readonly EventName[];
  readonly say: (line: string) => void;
}

export interface ChaosRound {
  readonly event: EventName;
  /** From the end of the event until the daemon was healthy. */
  readonly recoveredMs: number;
  readonly violations: readonly string[];
}

export interface DaemonChaos {
  readonly rounds: readonly ChaosRound[];
  readonly polls: number;
  readonly executions: number;
  /** Of all rounds, and of the end. */
  readonly violations: readonly string[];
}

const executionsPerRound = 3;
/** About half of what an execution takes. */
const spreadMs = 1_500;
/** An execution takes three seconds; after a restart of Temporal its retries take some more. */
const endLimitMs = 60_000;
/** Reports of a round may wait for a control plane that was away. */
const settleLimitMs = 30_000;
/** Wait before the n-th start in a row, with its jitter. */
const backoffMsMax = (crashesInRow: number): number =>
  crashesInRow === 0 ? 0 : Math.min(60_000, 1_250 * 2 ** (crashesInRow - 1));

export async function runDaemonChaos(options: DaemonChaosOptions): Promise<DaemonChaos> {
  const lab = await DaemonLab.open(options);
  const random = createRandom(options.seed);
  const draw = drawEvents(options.events ?? eventNames, random);
  const rounds: ChaosRound[] = [];
  const end: string[] = [];
  try {
    lab.plantDecoy();
    await lab.start();
    const polls = pollStatus(lab.queue, lab.commandOptions);
    let toldUntruths = 0;
    for (let number = 1; number <= options.rounds; number += 1) {
      const round = await runRound(lab, { event: draw(), number, random });
      const untruths = polls.untruths.slice(toldUntruths);
      toldUntruths += untruths.length;
      const violations = [...round.violations, ...untruths];
      rounds.push({ ...round, violations });
      options.say(
        `round ${number}/${options.rounds} ${round.event}: healthy after ${Math.round(round.recoveredMs)} ms${violations.map((sentence) => `\n  (fail) ${sentence}`).join('')}`,
      );
    }
    await polls.stop();
    end.push(...polls.untruths.slice(toldUntruths), ...(await stopEverything(lab)));
    const violations = [...rounds.flatMap((round) => round.violations), ...end];
    return { rounds, polls: polls.count, executions: options.rounds * executionsPerRound, violations };
  } finally {
    await lab.close();
  }
}

/** In a random order, each once before any comes again. */
function drawEvents(names: readonly EventName[], random: () => number): () => EventName {
  let left: EventName[] = [];
  return () => {
    if (left.length === 0) left = [...names];
    const [drawn] = left.splice(Math.floor(random() * left.length), 1);
    if (drawn === undefined) throw new Error('there is no event to draw');
    return drawn;
  };
}

interface RoundOptions {
  readonly event: EventName;
  readonly number: number;
  readonly random: () => number;
}

async function runRound(lab: DaemonLab, { event, number, random }: RoundOptions): Promise<ChaosRound> {
  const executions = new Map<string, string>();
  for (let index = 1; index <= executionsPerRound; index += 1) {
    const tag = `r${number}e${index}`;
    executions.set(await lab.server.execute(lab.agent.promptOf(tag), lab.queueId), tag);
  }
  await new Promise((done) => setTimeout(done, random() * spreadMs));
  const chaos = events[event];
  const violations: string[] = [];
  let recoveredMs = Number.NaN;
  try {
    const end = await chaos.run(lab);
    violations.push(...end.violations);
    const limitMs = chaos.recoveryMsMax + backoffMsMax(lab.crashesInRow);
    await until(async () => (await lab.run(['worker', 'status', '--queue-id', lab.queue])).code === 0, {
      limitMs,
      intervalMs: 200,
      what: () => 'the daemon is healthy again',
    });
    recoveredMs = performance.now() - end.recoverFromMs;
    violations.push(...(await checked(lab, executions, event)));
  } catch (error) {
    violations.push(error instanceof Error ? error.message : String(error));
    violations.push(`its status: ${JSON.stringify(await lab.status().catch(String))}`);
  }
  const scene = await settledScene(lab.home, lab.queue);
  if (scene.workers.length !== 1 || scene.supervisors.length !== 1)
    violations.push(`at the end of the round there is ${JSON.stringify(scene)}`);
  if (!isUntouched(lab)) violations.push('the stranger was killed');
  return { event, recoveredMs, violations: violations.map((sentence) => `round ${number}, ${event}: ${sentence}`) };
}

/** Every execution of the round has ended as it must; late reports get their time. */
async function checked(lab: DaemonLab, executions: ReadonlyMap<string, string>, event: EventName): Promise<string[]> {
  for (const id of executions.keys()) await lab.server.ended(id, endLimitMs);
  let found: string[] = [];
  const look = async (): Promise<boolean> => {
    const records = await recordsOf(lab, executions);
    found = event === 'disk_full' ? fullDiskViolations(records, lab.agent.ledger()) : roundViolations(lab, records);
    return found.length === 0;
  };
  await until(look, { limitMs: settleLimitMs, intervalMs: 500 }).catch(() => undefined);
  return found;
}

async function recordsOf(lab: DaemonLab, executions: ReadonlyMap<string, string>): Promise<readonly ExecutionRecord[]> {
  const journals = readJournals(lab.journalDirectory);
  const records: ExecutionRecord[] = [];
  for (const [id, tag] of executions) {
    const view: ExecutionView = await lab.server.execution(id);
    const seen: readonly EventView[] = await lab.server.events(id);
    const journal: readonly JournalLine[] = journals.get(id) ?? [];
    records.push({ id, tag, view, events: seen, journal, history: [], results: lab.agent.results.get(tag) ?? [] });
  }
  return records;
}

function roundViolations(lab: DaemonLab, records: readonly ExecutionRecord[]): string[] {
  const tags = new Set(records.map(({ tag }) => tag));
  const ledger = lab.agent.ledger().filter((line) => tags.has(line.split(':')[0] ?? ''));
  return executionViolations({ executions: records, kills: lab.kills, ledger, hits: new Map(), leftovers: [] });
}

/** A call that cannot be written down does not start, which ends its execution; nothing runs twice all the same. */
function fullDiskViolations(records: readonly ExecutionRecord[], ledger: readonly string[]): string[] {
  return records.flatMap(({ tag, view }) => {
    const found: string[] = [];
    const isSaid = view.status === 'failed' && /space|disk|ENOSPC/i.test(view.error_message ?? '');
    if (view.status !== 'completed' && !isSaid) found.push(`${tag} ended ${view.status}: ${view.error_message ?? ''}`);
    for (let step = 1; step <= stepsPerExecution; step += 1) {
      const effects = ledger.filter((line) => line === `${tag}:${step}`).length;
      if (effects > 1 || (view.status === 'completed' && effects !== 1))
        found.push(`${tag} step ${step} took effect ${effects} times`);
    }
    return found;
  });
}

const orphanMs = 5_000;

async function stopEverything(lab: DaemonLab): Promise<string[]> {
  const found: string[] = [];
  const { code, stderr } = await lab.run(['worker', 'stop', '--all']);
  if (code !== 0) found.push(`worker stop returned ${code}: ${stderr}`);
  await new Promise((done) => setTimeout(done, orphanMs));
  if (lab.daemonProcesses().length > 0) found.push(`left 5 s after the stop: ${lab.daemonProcesses().join(', ')}`);
  const status = await lab.status();
  if (status.state !== 'stopped' || status.healthy)
    found.push(`after the stop its status is ${JSON.stringify(status)}`);
  if (!isUntouched(lab)) found.push('the stranger was killed by a stop');
  return found;
}
