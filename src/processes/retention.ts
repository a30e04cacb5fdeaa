// Keeps ~/.kubiya from filling the disk: removes what executions that have ended left behind, by age and by size, a little at a time.
import { lstatSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Config, RetentionConfig } from '../config/config.ts';
import type { WorkerPaths } from '../config/paths.ts';
import type { ControlPlaneClient } from '../controlplane/client.ts';
import { KubiyaError } from '../errors.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { createWorkBudget, emptyTrash, measureTree, moveToTrash, type WorkBudget } from '../lib/disk-tree.ts';
import { terminalStatuses } from '../protocol/workflow.ts';
import { ownerState, readInstance, subdirectories } from '../supervisor/instance.ts';
import type { Log } from '../telemetry/log.ts';
import type { InstanceScope } from './instance-scope.ts';
import type { Teardown } from './teardown.ts';
import { ephemeralQueuePrefix } from '../protocol/instance.ts';
import type { WorkerView } from './worker-view.ts';

export interface RetentionParts {
  readonly limits: RetentionConfig;
  /** ~/.kubiya. */
  readonly home: string;
  readonly workersDirectory: string;
  /** Of this worker: others that run look after their own. */
  readonly ownDirectory: string;
  readonly client: Pick<ControlPlaneClient, 'getExecution' | 'url'>;
  readonly log: Log;
  readonly clock: Clock;
  /** Of one round. */
  readonly entriesMax?: number;
}

/** The start has more urgent work. */
const firstRoundMs = 5_000;
const roundIntervalMs = 60 * 60_000;
/** A disk fills within minutes; the question costs microseconds. */
const diskLookIntervalMs = 60_000;
/** A checkout with its dependencies is some ten thousand entries; the rest is the next round's. */
const entriesPerRoundMax = 200_000;
/** Between 200 entries: about a tenth of one processor at most. */
const restMs = 20;
/** Each is a question to the control plane. */
const questionsPerRoundMax = 200;
/** Whatever changed so lately may be in use, whoever says that it is over. */
const untouchedMsMin = 60 * 60_000;

export interface WorkerParts {
  readonly config: Config;
  readonly scope: InstanceScope;
  readonly place: Pick<WorkerPaths, 'directory'>;
  readonly client: RetentionParts['client'];
  readonly view: Pick<WorkerView, 'warn'>;
}

/** Of a worker that is ready: rounds and looks at the disk until it ends. */
export function startRetention({ config, scope, place, client, view }: WorkerParts, teardown: Teardown): void {
  const { home, workersDirectory } = config.paths;
  const log = scope.log.child('retention');
  const clock = systemClock;
  const limits = config.worker.retention;
  const parts = { limits, home, workersDirectory, ownDirectory: place.directory, client, log, clock };
  const stopped = new AbortController();
  const { signal } = stopped;
  const nap = (ms: number): Promise<void> => clock.sleep(ms, signal).catch(() => undefined);
  const rounds = async (): Promise<void> => {
    await nap(firstRoundMs);
    while (!signal.aborted) {
      try {
        await retain(parts, signal);
      } catch (error) {
        log.error('Old files could not be looked after', { error });
      }
      await nap(roundIntervalMs);
    }
  };
  const disk = async (): Promise<void> => {
    for (let wasFull = false; !signal.aborted; await nap(diskLookIntervalMs)) {
      const sentence = lookAtDisk(home);
      view.warn('disk', sentence);
      if (sentence !== undefined && !wasFull) log.warn(sentence);
      wasFull = sentence !== undefined;
    }
  };
  const all = Promise.all([rounds(), disk()]);
  teardown.add('retention', 2_000, async () => {
    stopped.abort();
    await all;
  });
}

/** One round; says in one line what it freed. */
export async function retain(parts: RetentionParts, signal: AbortSignal): Promise<void> {
  const { workersDirectory, ownDirectory, home, limits, clock, log, entriesMax = entriesPerRoundMax } = parts;
  const newBudget = (): WorkBudget => createWorkBudget({ entriesMax, restMs, clock, signal });
  const budget = newBudget();
  const trash = join(workersDirectory, '.trash');
  const counts = { workspaces: 0, leftovers: 0, files: 0 };
  const mayEnd = createQuestions(parts, signal);
  for (const directory of subdirectories(workersDirectory)) {
    if (directory === trash || signal.aborted) continue;
    if (isLeftover(directory, clock.now())) {
      if (moveToTrash(directory, trash)) counts.leftovers += 1;
    } else if (directory === ownDirectory || isOursAndStopped(directory, parts)) {
      for (const one of await expiredWorkspaces(directory, parts, budget, mayEnd))
        if (moveToTrash(one.path, trash)) counts.workspaces += 1;
      counts.files += removeOldFiles(join(directory, 'journal'), '.outbox', parts);
    }
  }
  counts.files += removeOldFiles(join(home, 'plans'), '.json', parts);
  // Of its own: where more is kept than one round can look at, what was chosen must go all the same.
  const bytes = await emptyTrash(trash, newBudget());
  const isAnything = bytes > 0 || Object.values(counts).some((count) => count > 0);
  if (isAnything) log.info('Freed what is no longer needed', { bytes, ...counts, older_than_ms: limits.ageMsMax });
}

export interface KeptTree {
  readonly path: string;
  readonly bytes: number;
  readonly changedAtMs: number;
}

/**
 * What goes, oldest first: by age, then as much as brings the rest under its limit. Nothing that changed lately, nothing that
 * may not end, which also makes no room for others.
 */
export async function chooseExpired(
  trees: readonly KeptTree[],
  { ageMsMax, workspacesBytesMax }: RetentionConfig,
  nowMs: number,
  mayEnd: (tree: KeptTree) => Promise<boolean>,
): Promise<readonly KeptTree[]> {
  let bytes = trees.reduce((sum, tree) => sum + tree.bytes, 0);
  const chosen: KeptTree[] = [];
  for (const tree of trees.toSorted((left, right) => left.changedAtMs - right.changedAtMs)) {
    const ageMs = nowMs - tree.changedAtMs;
    const isExpired = ageMs >= untouchedMsMin && (ageMs > ageMsMax || bytes > workspacesBytesMax);
    if (!isExpired || !(await mayEnd(tree))) continue;
    bytes -= tree.bytes;
    chosen.push(tree);
  }
  return chosen;
}

async function expiredWorkspaces(
  directory: string,
  { limits, clock }: RetentionParts,
  budget: WorkBudget,
  mayEnd: (executionId: string) => Promise<boolean>,
): Promise<readonly KeptTree[]> {
  const trees: KeptTree[] = [];
  for (const path of oldestFirst(workspacesIn(join(directory, 'workspace')))) {
    const { bytes, changedAtMs } = await measureTree(path, budget);
    if (changedAtMs > 0) trees.push({ path, bytes, changedAtMs });
  }
  return await chooseExpired(trees, limits, clock.now(), ({ path }) => mayEnd(basename(path)));
}

/** An execution's id; whatever else is there is not ours to remove. */
const executionId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function workspacesIn(directory: string): readonly string[] {
  return isRealDirectory(directory) ? subdirectories(directory).filter((path) => executionId.test(basename(path))) : [];
}

/** By the directory itself, so that a round that ends early has looked at what may go rather than at what is in use. */
function oldestFirst(paths: readonly string[]): readonly string[] {
  const timeOf = (path: string): number => lstatSync(path, { throwIfNoEntry: false })?.ctimeMs ?? 0;
  return paths
    .map((path) => ({ path, time: timeOf(path) }))
    .toSorted((left, right) => left.time - right.time)
    .map(({ path }) => path);
}

/** A tool without a sandbox could have put a link to somewhere else in its place. */
function isRealDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Asks the control plane whether an execution has ended or is not known; no answer means that it stays. */
function createQuestions({ client }: RetentionParts, signal: AbortSignal): (executionId: string) => Promise<boolean> {
  let left = questionsPerRoundMax;
  return async (id) => {
    if (left <= 0 || signal.aborted) return false;
    left -= 1;
    try {
      const { status } = await client.getExecution(id, { attemptsMax: 1, signal });
      return terminalStatuses.has(status.toLowerCase());
    } catch (error) {
      return error instanceof KubiyaError && error.code.endsWith('not_found');
    }
  };
}

/** Only the control plane of its executions can say whether they are open. */
function isOursAndStopped(directory: string, { client }: RetentionParts): boolean {
  const record = readInstance(directory);
  return record !== null && record.control_plane_url === client.url && ownerState(record) === 'gone';
}

/** Of an `exec --local` whose own end, guardian and sweep have all failed. */
function isLeftover(directory: string, nowMs: number): boolean {
  if (!basename(directory).startsWith(ephemeralQueuePrefix)) return false;
  const record = readInstance(directory);
  return record !== null && ownerState(record) === 'gone' && nowMs - Date.parse(record.started_at) > untouchedMsMin;
}

/** Plain files of ours that nobody has written for the time limit. Returns their number. */
function removeOldFiles(directory: string, suffix: string, { limits, clock }: RetentionParts): number {
  let count = 0;
  for (const name of isRealDirectory(directory) ? readdirSync(directory) : []) {
    const path = join(directory, name);
    try {
      if (!name.endsWith(suffix) || clock.now() - lstatSync(path).mtimeMs <= limits.ageMsMax) continue;
      rmSync(path, { force: true });
      count += 1;
    } catch {
      // Gone meanwhile, or not ours: it stays.
    }
  }
  return count;
}

/** Less is filled by one build; a share of a large disk is enough for long. */
const freeBytesMin = 1024 ** 3;
const freeShareMin = 0.03;
const freeShareBytesMax = 10 * 1024 ** 3;

function lookAtDisk(path: string): string | undefined {
  try {
    const { bavail, blocks, bsize } = statfsSync(path);
    return diskWarning(path, { freeBytes: bavail * bsize, totalBytes: blocks * bsize });
  } catch {
    // No answer of the system is no reason to worry anyone.
    return undefined;
  }
}

/** Undefined while there is room, and where the file system does not say. */
export function diskWarning(
  path: string,
  { freeBytes, totalBytes }: { readonly freeBytes: number; readonly totalBytes: number },
): string | undefined {
  const wanted = Math.max(freeBytesMin, Math.min(totalBytes * freeShareMin, freeShareBytesMax));
  if (totalBytes === 0 || freeBytes >= wanted) return undefined;
  return `the disk of ${path} is nearly full: ${Math.floor(freeBytes / 1024 ** 2)} MiB are free`;
}
