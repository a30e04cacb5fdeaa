// Kills a worker again and again while its executions run, each time at a moment that was not hit often enough yet.
import { connectTemporal, type HistoryEvent, type TemporalProbe } from '../support/temporal-history.ts';
import { createHome, type Home } from '../support/binary.ts';
import { startLocalServer, type EventView, type ExecutionView, type LocalServer } from '../support/local-server.ts';
import { until } from '../support/until.ts';
import { type JournalLine, readJournals, startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { type JournalWatch, watchJournals } from './journal-watch.ts';
import { createRandom } from './random.ts';
import { startStepAgent, type StepAgent } from './step-agent.ts';
import { classify, type Kill, type KilledCall, type KillMoment, type Window, windows } from './windows.ts';

export interface KillRunOptions {
  readonly seed: number;
  /** How often each window is to be hit. */
  readonly hitsPerWindow: number;
  /** No new kill after this; the windows that were not hit by then are missing in the result. */
  readonly drawLimitMs: number;
  readonly say: (line: string) => void;
}

export interface ExecutionRecord {
  readonly id: string;
  readonly tag: string;
  readonly view: ExecutionView;
  readonly events: readonly EventView[];
  readonly history: readonly HistoryEvent[];
  readonly journal: readonly JournalLine[];
  /** Tool results as the model was told them. */
  readonly results: readonly string[];
}

export interface KillRun {
  readonly executions: readonly ExecutionRecord[];
  readonly kills: readonly Kill[];
  readonly ledger: readonly string[];
  /** By window, how often an execution was in it when its worker was killed. */
  readonly hits: ReadonlyMap<KillMoment, number>;
  /** Processes that were left when all was stopped. */
  readonly leftovers: readonly string[];
}

export const stepsPerExecution = 10;
/** Executions that run side by side: each kill says something of each. */
const executionsAtOnce = 3;
const queue = 'chaos';
/** About half of what an execution takes. */
const spreadMs = 800;
/** A kill is aimed at what happens next; when nothing does for so long, something is stuck. */
const aimLimitMs = 20_000;
const looksPerRefill = 50;
/** Far above the limit that the test sets: so that what is late is measured, not cut. */
const progressLimitMs = 30_000;
const endLimitMs = 60_000;

export const callIdOf = (executionId: string, step: number): string => `${executionId}:${step}:0`;

export async function runKills(options: KillRunOptions): Promise<KillRun> {
  const home = createHome();
  try {
    const agent = await startStepAgent(home.directory, {
      steps: stepsPerExecution,
      pauses: { before: 0.05, after: 0.05 },
    });
    const server = await startLocalServer({ home });
    const temporal = await connectTemporal(server.temporalAddress);
    const run = new Run(options, home, agent, server, temporal);
    let result: Omit<KillRun, 'leftovers'>;
    try {
      await run.draw();
      result = await run.finish();
    } finally {
      await temporal.close();
      await server.stop();
      await agent.model.stop();
    }
    return { ...result, leftovers: home.processes() };
  } finally {
    home.remove();
  }
}

class Run {
  private readonly random: () => number;
  private readonly executions = new Map<string, string>(); // id → tag
  private readonly kills: Kill[] = [];
  private readonly aim = new Aim();
  private worker: WorkerProcess | undefined;
  private watch: JournalWatch | undefined;

  constructor(
    private readonly options: KillRunOptions,
    private readonly home: Home,
    private readonly agent: StepAgent,
    private readonly server: LocalServer,
    private readonly temporal: TemporalProbe,
  ) {
    this.random = createRandom(options.seed);
  }

  async draw(): Promise<void> {
    const { hitsPerWindow, drawLimitMs, say } = this.options;
    const startMs = performance.now();
    this.worker = await this.startWorker();
    for (;;) {
      const hits = await this.hits();
      const missing = windows.filter((window) => (hits.get(window) ?? 0) < hitsPerWindow);
      if (missing.length === 0 || performance.now() - startMs > drawLimitMs) return;
      await this.refill();
      // Otherwise most kills would hit the first steps of executions that began together.
      await new Promise((done) => setTimeout(done, this.random() * spreadMs));
      const target = missing[Math.floor(this.random() * missing.length)] ?? 'during_call';
      const found = await this.killAt(target);
      say(`kill ${this.kills.length} aimed at ${target}, hit ${found.map(({ moment }) => moment).join(', ')}`);
    }
  }

  async finish(): Promise<Omit<KillRun, 'leftovers'>> {
    const records: ExecutionRecord[] = [];
    for (const [id, tag] of this.executions) {
      const view = await this.server.ended(id, endLimitMs);
      const history = await this.temporal.history(id);
      const events = await this.server.events(id);
      records.push({ id, tag, view, events, history, journal: [], results: this.agent.results.get(tag) ?? [] });
    }
    const { worker } = this;
    if (worker === undefined) throw new Error('no worker was started');
    this.watch?.close();
    await worker.process.end('SIGTERM');
    const journals = readJournals(worker.journalDirectory);
    const hits = await this.hits();
    return {
      executions: records.map((record) => ({ ...record, journal: journals.get(record.id) ?? [] })),
      kills: this.kills,
      ledger: this.agent.ledger(),
      hits,
    };
  }

  private async startWorker(): Promise<WorkerProcess> {
    const worker = await startWorkerProcess({
      home: this.home,
      queue,
      words: ['--model', this.agent.modelName],
      environment: this.agent.environment,
    });
    this.agent.setWorkers(worker.victims());
    this.watch ??= watchJournals(worker.journalDirectory);
    return worker;
  }

  /** Keeps so many executions running that a kill always hits some. */
  private async refill(): Promise<void> {
    const views = await Promise.all([...this.executions.keys()].map((id) => this.server.execution(id)));
    const running = views.filter(
      ({ status }) => status === 'running' || status === 'pending' || status === 'queued',
    ).length;
    for (let count = running; count < executionsAtOnce; count += 1) {
      const tag = `e${this.executions.size + 1}`;
      this.executions.set(await this.server.execute(this.agent.promptOf(tag), queue), tag);
    }
  }

  private async killAt(target: Window): Promise<readonly KilledCall[]> {
    const { worker, watch } = this;
    if (worker === undefined || watch === undefined) throw new Error('no worker runs');
    const { process: victim } = worker;
    if (target === 'during_call' || target === 'after_effect') {
      this.agent.arm(target === 'during_call' ? 'kill_before_effect' : 'kill_after_effect');
    } else {
      this.aim.at(target, this.random, watch, () => worker.kill());
    }
    let looks = 0;
    const isHit = async (): Promise<boolean> => {
      looks += 1;
      // What runs may end before it does what the kill waits for.
      if (looks % looksPerRefill === 0) await this.refill();
      return victim.hasExited;
    };
    await until(isHit, { limitMs: aimLimitMs, intervalMs: 5, what: () => `a kill at ${target} hits` });
    const { atMs } = await victim.exited;
    this.aim.rest(watch);
    const journals = readJournals(worker.journalDirectory);
    const ledger = this.agent.ledger();
    this.worker = await this.startWorker();
    const kill: Kill = { atMs, readyAgainAtMs: this.worker.readyAtMs, journals, ledger };
    this.kills.push(kill);
    return await this.waitForProgress(kill);
  }

  /** What each execution was doing at the kill, once it has gone on since. */
  private async waitForProgress(kill: Kill): Promise<readonly KilledCall[]> {
    const found: KilledCall[] = [];
    for (const id of this.executions.keys()) {
      const killed = this.classify(id, await this.temporal.history(id), kill);
      if (killed === undefined) continue;
      found.push(killed);
      const hasGoneOn = async (): Promise<boolean> =>
        (await this.temporal.history(id)).some(({ type, atMs }) => atMs > kill.atMs && /Completed|Failed/.test(type));
      await until(hasGoneOn, { limitMs: progressLimitMs, intervalMs: 100, what: () => `execution ${id} goes on` });
    }
    return found;
  }

  private classify(id: string, history: readonly HistoryEvent[], kill: Kill): KilledCall | undefined {
    const tag = this.executions.get(id) ?? '';
    return classify(history, kill.journals.get(id) ?? [], kill, (callId) => `${tag}:${callId.split(':').at(-2)}`);
  }

  private async hits(): Promise<ReadonlyMap<KillMoment, number>> {
    const hits = new Map<KillMoment, number>();
    for (const id of this.executions.keys()) {
      const history = await this.temporal.history(id);
      for (const kill of this.kills) {
        const killed = this.classify(id, history, kill);
        if (killed !== undefined) hits.set(killed.moment, (hits.get(killed.moment) ?? 0) + 1);
      }
    }
    return hits;
  }
}

/** Times a kill between two journal records, by how long the way from one to the other took before. */
class Aim {
  private lastFinished = new Map<string, { readonly isModel: boolean; readonly atMs: number }>();
  /** From a model's or a tool's `finished` to the next `started`, newest measurement. */
  private gapMs = { model: 12, tool: 12 };

  at(
    target: Exclude<Window, 'during_call' | 'after_effect'>,
    random: () => number,
    watch: JournalWatch,
    kill: () => void,
  ): void {
    let isAimed = false;
    const isAfterModel = target === 'before_started' || (target === 'workflow_task' && random() < 0.3);
    watch.onRecord = (executionId, record) => {
      this.measure(executionId, record);
      const isModel = record.call.endsWith(':model');
      if (isAimed || record.type !== 'finished' || isModel !== isAfterModel) return;
      isAimed = true;
      if (target === 'after_finished') kill();
      else
        setTimeout(
          kill,
          this.gapMs[isModel ? 'model' : 'tool'] *
            (target === 'before_started' ? 0.6 + 0.5 * random() : 0.2 + 0.6 * random()),
        );
    };
  }

  rest(watch: JournalWatch): void {
    this.lastFinished.clear();
    watch.onRecord = (executionId, record) => this.measure(executionId, record);
  }

  private measure(executionId: string, record: JournalLine): void {
    const last = this.lastFinished.get(executionId);
    const nowMs = performance.now();
    if (record.type === 'finished')
      this.lastFinished.set(executionId, { isModel: record.call.endsWith(':model'), atMs: nowMs });
    else if (record.type === 'started' && last !== undefined) {
      this.gapMs[last.isModel ? 'model' : 'tool'] = nowMs - last.atMs;
      this.lastFinished.delete(executionId);
    }
  }
}
