// Takes the Temporal server away under running executions, and gives it back.
import { createServer, type Server } from 'node:net';
import { probeTemporal } from '../../src/server/temporal.ts';
import { createHome, tryKill } from '../support/binary.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { connectTemporal } from '../support/temporal-history.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { createRandom } from './random.ts';
import { startStepAgent, type StepAgent } from './step-agent.ts';

/** `killed`: SIGKILL, and its port is held so that it cannot come back. `frozen`: SIGSTOP; connections stay open and silent. */
export type OutageKind = 'killed' | 'frozen';

export interface Outage {
  readonly kind: OutageKind;
  readonly seconds: number;
}

export interface OutageResult {
  readonly outage: Outage;
  /** From the kill to the first answer. */
  readonly awayMs: number;
  /** From then to the first progress of each execution. */
  readonly resumedMs: readonly number[];
  readonly violations: readonly string[];
}

const queue = 'outage';
/**
 * Of one execution the call ends during the outage, of the other after it, and a third has short ones: then some result,
 * some workflow task and some new call fall into it.
 */
const executionKinds = ['inside', 'across', 'short'] as const;
const stepsPerExecution = 4;
const resumeLimitMs = 60_000;
const endLimitMs = 120_000;

/** One server and one worker for all of them; one result each. */
export async function runOutages(
  outages: readonly Outage[],
  seed: number,
  say: (line: string) => void,
): Promise<readonly OutageResult[]> {
  const home = createHome();
  const random = createRandom(seed);
  try {
    const agent = await startStepAgent(home.directory, { steps: stepsPerExecution, pauses: pausesOf });
    const server = await startLocalServer({ home });
    try {
      const worker = await startWorkerProcess({
        home,
        queue,
        words: ['--model', agent.modelName],
        environment: agent.environment,
      });
      const results: OutageResult[] = [];
      for (const [index, outage] of outages.entries()) {
        const result = await runOutage(server, agent, outage, { number: index + 1, pauseMs: 300 + 700 * random() });
        results.push(result);
        say(
          `${outage.kind} for ${outage.seconds} s: away ${Math.round(result.awayMs)} ms, progress after ${result.resumedMs.map(Math.round).join(', ')} ms`,
        );
      }
      if (worker.process.hasExited) throw new Error(`the worker has ended:\n${worker.process.output()}`);
      await worker.process.end('SIGTERM');
      return results;
    } finally {
      await server.stop();
      await agent.model.stop();
    }
  } finally {
    home.remove();
  }
}

/** A tag is `<kind>-<seconds of the outage>-<number>`. The first step of each is under way when the outage begins. */
function pausesOf(tag: string, step: number): { before: number; after: number } {
  const [kind, seconds = '0'] = tag.split('-');
  if (kind === 'short' || step > 1) return { before: 0.05, after: 0.05 };
  return kind === 'inside' ? { before: 1, after: Number(seconds) / 2 } : { before: 1, after: Number(seconds) + 0.5 };
}

async function runOutage(
  server: LocalServer,
  agent: StepAgent,
  outage: Outage,
  { number, pauseMs }: { readonly number: number; readonly pauseMs: number },
): Promise<OutageResult> {
  const executions = new Map<string, string>();
  for (const kind of executionKinds) {
    const tag = `${kind}-${outage.seconds}-${number}`;
    executions.set(await server.execute(agent.promptOf(tag), queue), tag);
  }
  await until(() => [...executions.values()].every((tag) => agent.results.has(tag)), {
    what: () => 'every execution has begun',
  });
  await new Promise((done) => setTimeout(done, pauseMs));
  const { awayMs, backAtMs } = await takeAway(server, outage);
  const resumedMs: number[] = [];
  const violations: string[] = [];
  const temporal = await connectTemporal(server.temporalAddress);
  for (const [id, tag] of executions) {
    const resumedAt = await firstProgressAfter(backAtMs, () => temporal.history(id));
    // One that had ended before has nothing to resume.
    if (resumedAt !== undefined) resumedMs.push(resumedAt - backAtMs);
    const { status, error_message: error } = await server.ended(id, endLimitMs);
    if (status !== 'completed') violations.push(`${tag} ended ${status}: ${error ?? ''}`);
    violations.push(...stepViolations(agent, tag));
  }
  await temporal.close();
  return { outage, awayMs, resumedMs, violations };
}

async function firstProgressAfter(
  backAtMs: number,
  history: () => Promise<readonly { readonly type: string; readonly atMs: number }[]>,
): Promise<number | undefined> {
  let progressAtMs: number | undefined;
  let hasEnded = false;
  const look = async (): Promise<boolean> => {
    const events = await history();
    progressAtMs = events.find(({ type, atMs }) => atMs > backAtMs && type.endsWith('Completed'))?.atMs;
    hasEnded = events.some(({ type }) => type === 'WorkflowExecutionCompleted');
    return progressAtMs !== undefined || hasEnded;
  };
  await until(look, { limitMs: resumeLimitMs, intervalMs: 100, what: () => 'the execution goes on after the outage' });
  return progressAtMs;
}

/** No worker died, so every call ends normally and once. */
function stepViolations(agent: StepAgent, tag: string): string[] {
  const found: string[] = [];
  const results = agent.results.get(tag) ?? [];
  const ledger = agent.ledger();
  for (let step = 1; step <= stepsPerExecution; step += 1) {
    const effects = ledger.filter((line) => line === `${tag}:${step}`).length;
    const result = results[step - 1] ?? '';
    if (effects !== 1) found.push(`${tag} step ${step} took effect ${effects} times`);
    if (!result.includes(`did ${tag}:${step}`)) found.push(`${tag} step ${step} was told as ${JSON.stringify(result)}`);
  }
  return found;
}

async function takeAway(server: LocalServer, { kind, seconds }: Outage): Promise<{ awayMs: number; backAtMs: number }> {
  const pid = server.temporalPid();
  const startMs = performance.now();
  if (kind === 'frozen') {
    tryKill(pid, 'SIGSTOP');
    await new Promise((done) => setTimeout(done, seconds * 1000));
    tryKill(pid, 'SIGCONT');
  } else {
    tryKill(pid, 'SIGKILL');
    const holder = await holdPort(server.temporalAddress);
    await new Promise((done) => setTimeout(done, seconds * 1000));
    await new Promise((done) => holder.close(done));
  }
  const answers = async (): Promise<boolean> =>
    await probeTemporal({ address: server.temporalAddress, namespace: 'default', isLocal: true }).then(
      () => true,
      () => false,
    );
  await until(answers, { limitMs: resumeLimitMs, what: () => 'Temporal answers again' });
  return { awayMs: performance.now() - startMs, backAtMs: Date.now() };
}

/** Connections are closed at once, as if nobody listened. */
export async function holdPort(address: string): Promise<Server> {
  const separator = address.lastIndexOf(':');
  const [host, port] = [address.slice(0, separator), Number(address.slice(separator + 1))];
  let holder: Server | undefined;
  const bind = (): Promise<boolean> =>
    new Promise((resolve) => {
      const server = createServer((socket) => socket.destroy());
      server.once('error', () => resolve(false));
      server.listen({ host, port, exclusive: true }, () => {
        holder = server;
        resolve(true);
      });
    });
  await until(bind, { limitMs: 5_000, intervalMs: 1, what: () => `port ${port} can be held` });
  if (holder === undefined) throw new Error(`port ${port} is not held`);
  return holder;
}
