// An execution a second through a daemon, and what that does to the memory, the descriptors and the number of its processes.
import { readdirSync, readFileSync } from 'node:fs';
import { createHome, type Home } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { runCommand } from '../support/run-binary.ts';
import { sceneOf } from '../chaos/status-poll.ts';

export interface SoakOptions {
  /** After the warm-up. */
  readonly minutes: number;
  readonly say: (line: string) => void;
}

export interface Sample {
  readonly atMs: number;
  readonly rssBytes: number;
  readonly descriptors: number;
}

export interface Soak {
  readonly worker: readonly Sample[];
  readonly supervisor: readonly Sample[];
  readonly processes: readonly number[];
  readonly executions: number;
  /** Executions that did not complete. */
  readonly failed: readonly string[];
}

export interface Trend {
  /** Medians of the first and the last quarter. */
  readonly firstBytes: number;
  readonly lastBytes: number;
  readonly riseInAllPercent: number;
  /** Slope of the line through all samples, of the first median. */
  readonly risePerMinutePercent: number;
  readonly descriptorsFirst: number;
  readonly descriptorsLast: number;
}

const queue = 'soak';
const sampleEveryMs = 5_000;
const executionEveryMs = 1_000;
/** The engine compiles what runs often and sizes its heap by the load: some more of it brings that forward. */
const warmUp = { executions: 90, everyMs: 333 };
/** Then the load that is measured, until what the warm-up needed has been given back. */
const settling = { executions: 15, everyMs: executionEveryMs };
/** What still runs when the load ends is done in a moment. */
const endLimitMs = 30_000;

export async function runSoak({ minutes, say }: SoakOptions): Promise<Soak> {
  const home = createHome();
  try {
    const server = await startLocalServer({ home });
    try {
      await command(home, [
        'worker',
        'start',
        '--queue-id',
        queue,
        '-d',
        '--webui-port',
        '0',
        '--model',
        'kubiya/offline',
      ]);
      const soak = await underLoad({ home, server, minutes, say });
      await command(home, ['worker', 'stop', '--queue-id', queue]);
      return soak;
    } finally {
      await server.stop();
    }
  } finally {
    home.remove();
  }
}

async function command(home: Home, words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(words, { home });
  if (code !== 0) throw new Error(`${words.join(' ')} returned ${code}: ${stdout}${stderr}`);
  return stdout;
}

async function underLoad({
  home,
  server,
  minutes,
  say,
}: SoakOptions & { readonly home: Home; readonly server: LocalServer }): Promise<Soak> {
  const queueId = (
    JSON.parse(await command(home, ['worker', 'status', '--queue-id', queue, '--json'])) as { queue_id: string }
  ).queue_id;
  const ids: string[] = [];
  const load = async (count: number, everyMs: number): Promise<void> => {
    const startMs = performance.now();
    for (let number = 0; number < count; number += 1) {
      ids.push(await server.execute('run `true`', queueId));
      await until(startMs + (number + 1) * everyMs);
    }
  };
  await load(warmUp.executions, warmUp.everyMs);
  await load(settling.executions, settling.everyMs);
  say(`warmed up with ${ids.length} executions`);
  const [worker, supervisor] = onlyPids(home);
  const samples = { worker: [] as Sample[], supervisor: [] as Sample[], processes: [] as number[] };
  const sample = (): void => {
    samples.worker.push(sampleOf(worker));
    samples.supervisor.push(sampleOf(supervisor));
    // Between two executions: what a tool has started is gone by then.
    samples.processes.push(home.processes().length);
  };
  const timer = setInterval(() => {
    sample();
    const rss = (which: readonly Sample[]): string => ((which.at(-1)?.rssBytes ?? 0) / 1e6).toFixed(1);
    if (samples.worker.length % 12 === 0)
      say(
        `${samples.worker.length / 12} min: worker ${rss(samples.worker)} MB, supervisor ${rss(samples.supervisor)} MB`,
      );
  }, sampleEveryMs);
  try {
    await load(Math.round((minutes * 60_000) / executionEveryMs), executionEveryMs);
  } finally {
    clearInterval(timer);
  }
  const [workerAtEnd, supervisorAtEnd] = onlyPids(home);
  if (workerAtEnd !== worker || supervisorAtEnd !== supervisor) throw new Error('a process of the daemon was replaced');
  const failed: string[] = [];
  for (const id of ids) {
    const { status, error_message: reason } = await server.ended(id, endLimitMs);
    if (status !== 'completed') failed.push(`${id} ended ${status}: ${reason ?? ''}`);
  }
  return { ...samples, executions: ids.length, failed };
}

async function until(atMs: number): Promise<void> {
  await new Promise((done) => setTimeout(done, Math.max(0, atMs - performance.now())));
}

function onlyPids(home: Home): readonly [worker: number, supervisor: number] {
  const { workers, supervisors } = sceneOf(home, queue);
  const [worker, supervisor] = [workers[0]?.pid, supervisors[0]];
  if (worker === undefined || supervisor === undefined)
    throw new Error(`there is no daemon:\n${home.processes().join('\n')}`);
  return [worker, supervisor];
}

function sampleOf(pid: number): Sample {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]);
  return { atMs: performance.now(), rssBytes: kilobytes * 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

export function trendOf(samples: readonly Sample[]): Trend {
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  const [first, last] = [samples.slice(0, quarter), samples.slice(-quarter)];
  const firstBytes = median(first.map(({ rssBytes }) => rssBytes));
  const lastBytes = median(last.map(({ rssBytes }) => rssBytes));
  return {
    firstBytes,
    lastBytes,
    riseInAllPercent: (lastBytes / firstBytes - 1) * 100,
    risePerMinutePercent: ((slopePerMs(samples) * 60_000) / firstBytes) * 100,
    descriptorsFirst: median(first.map(({ descriptors }) => descriptors)),
    descriptorsLast: median(last.map(({ descriptors }) => descriptors)),
  };
}

/** Least squares. */
function slopePerMs(samples: readonly Sample[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const atMean = mean(samples.map(({ atMs }) => atMs));
  const bytesMean = mean(samples.map(({ rssBytes }) => rssBytes));
  const spread = samples.reduce((sum, { atMs }) => sum + (atMs - atMean) ** 2, 0);
  return samples.reduce((sum, { atMs, rssBytes }) => sum + (atMs - atMean) * (rssBytes - bytesMean), 0) / spread;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const risePerMinutePercentMax = 1;
const riseInAllPercentMax = 10;
/** A connection that the control plane has just closed and that is not opened again yet. */
const descriptorSlack = 2;

/** What is not as a process for months must be, one sentence each. */
export function soakViolations(soak: Soak): string[] {
  const found = [...soak.failed];
  for (const [name, samples] of [
    ['worker', soak.worker],
    ['supervisor', soak.supervisor],
  ] as const) {
    const trend = trendOf(samples);
    if (trend.risePerMinutePercent > risePerMinutePercentMax)
      found.push(`the memory of the ${name} rises ${trend.risePerMinutePercent.toFixed(2)} % a minute`);
    if (trend.riseInAllPercent > riseInAllPercentMax)
      found.push(`the memory of the ${name} has risen ${trend.riseInAllPercent.toFixed(1)} %`);
    if (Math.abs(trend.descriptorsLast - trend.descriptorsFirst) > descriptorSlack)
      found.push(`the ${name} had ${trend.descriptorsFirst} descriptors and has ${trend.descriptorsLast}`);
  }
  const quarter = Math.max(1, Math.floor(soak.processes.length / 4));
  const [first, last] = [median(soak.processes.slice(0, quarter)), median(soak.processes.slice(-quarter))];
  if (first !== last) found.push(`there were ${first} processes and there are ${last}`);
  return found;
}

export function soakSummary(soak: Soak): string {
  const lines = (
    [
      ['worker', soak.worker],
      ['supervisor', soak.supervisor],
    ] as const
  ).map(([name, samples]) => {
    const { firstBytes, lastBytes, riseInAllPercent, risePerMinutePercent, descriptorsFirst, descriptorsLast } =
      trendOf(samples);
    const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
    return `${name}: ${megabytes(firstBytes)} → ${megabytes(lastBytes)} MB (${riseInAllPercent.toFixed(1)} % in all, ${risePerMinutePercent.toFixed(2)} %/min), descriptors ${descriptorsFirst} → ${descriptorsLast}`;
  });
  return [`${soak.executions} executions, ${median(soak.processes)} processes`, ...lines].join('\n');
}
