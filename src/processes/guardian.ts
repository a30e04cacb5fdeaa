// The guardian: a tiny process of ours that ends what we started when we vanish without a chance to do it ourselves.
import { rmSync } from 'node:fs';
import { dirname, isAbsolute, normalize } from 'node:path';
import type { Readable } from 'node:stream';
import { sleep } from '../lib/backoff.ts';
import { killGroup } from '../lib/kill-group.ts';
import { createLineSplitter } from '../lib/lines.ts';
import { sweepByMarker } from '../lib/process-tree.ts';
import { type ChildHandle, createSpawner, type SpawnScope } from '../lib/spawn.ts';
import type { Log } from '../telemetry/log.ts';
import { ignoreSignals } from './signals.ts';

/** The hidden first argument with which our binary becomes a guardian. */
export const guardianArgument = '__guardian';

/** A path is at most 4,096 bytes, and JSON may double it. */
const messageLengthMax = 16_384;
/** A process of ours that is being started when we die shows its marker only after its exec: a few ms later. */
const sweepIntervalMs = 50;
const emptySweepsNeeded = 2;
/** Five seconds: a process that forks faster than we kill is not ended by more patience. */
const sweepsMax = 100;

/** What the owner has told its guardian; the message protocol is one `word argument` a line. */
interface Charge {
  instanceId: string;
  readonly groups: Set<number>;
  readonly directories: Set<string>;
  isDismissed: boolean;
}

/**
 * Runs until the pipe closes. Closed after `dismiss`: nothing to do. Closed without: the owner is gone, so its process
 * groups are killed, then everything with its marker, then its directories are removed.
 */
export async function runGuardian(input: Readable = process.stdin): Promise<number> {
  ignoreSignals(['SIGINT', 'SIGTERM', 'SIGHUP']);
  const charge: Charge = { instanceId: '', groups: new Set(), directories: new Set(), isDismissed: false };
  // No flush at the end: a last line without newline was cut by the owner's death and may name the wrong group.
  const splitter = createLineSplitter({ lineLengthMax: messageLengthMax, onLine: (line) => obey(charge, line) });
  try {
    for await (const chunk of input) splitter.push(chunk as Uint8Array);
  } catch {
    // A broken pipe is the owner's end as well.
  }
  if (!charge.isDismissed) await clearUp(charge);
  return 0;
}

function obey(charge: Charge, line: string): void {
  const space = line.indexOf(' ');
  const argument = space === -1 ? '' : line.slice(space + 1);
  switch (space === -1 ? line : line.slice(0, space)) {
    case 'instance':
      charge.instanceId = argument;
      break;
    case 'start':
      charge.groups.add(Number(argument));
      break;
    case 'end':
      charge.groups.delete(Number(argument));
      break;
    case 'remove':
      if (isRemovable(argument)) charge.directories.add(argument);
      break;
    case 'dismiss':
      charge.isDismissed = true;
      break;
    default: // Said by a newer version: what is understood is done all the same.
  }
}

async function clearUp(charge: Charge): Promise<void> {
  for (const pgid of charge.groups) killGroup(pgid, 'SIGKILL');
  let emptySweeps = 0;
  for (let round = 0; round < sweepsMax && emptySweeps < emptySweepsNeeded; round += 1) {
    if (round > 0) await sleep(sweepIntervalMs);
    emptySweeps = sweepByMarker(charge.instanceId) === 0 ? emptySweeps + 1 : 0;
  }
  for (const directory of charge.directories) {
    try {
      rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
    } catch {
      // Nobody is left to tell; the next start finds it by its age.
    }
  }
}

function isRemovable(path: string): boolean {
  const isOneLine = !/[\r\n]/.test(path);
  return isOneLine && isAbsolute(path) && normalize(path) === path && dirname(dirname(path)) !== dirname(path);
}

export interface GuardianOptions {
  /** The program that becomes a guardian: our binary, or `bun src/main.ts` in a checkout. */
  readonly executable: readonly string[];
  readonly instanceId: string;
  /** For the guardian itself; see `baseEnvironment`. */
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
}

export interface Guardian {
  /** For `createSpawner`. */
  readonly scope: SpawnScope;
  /** A directory (absolute, at least two levels deep) that must not outlive us. */
  removeOnDeath(directory: string): void;
  /** Dismisses it: from here on nobody cleans up after us. */
  stop(): Promise<void>;
}

/** A dismissed guardian has nothing left to do; one that needs longer is stuck. */
const dismissalMs = 1_000;
/** One guardian that dies may be an accident, or the memory killer; two are a machine on which it cannot live. */
const restartsMax = 1;

/** Starts a guardian, in a session of its own so that a terminal's signals pass it by. Rejects with a `StartError`. */
export async function startGuardian(options: GuardianOptions): Promise<Guardian> {
  const charge: Charge = {
    instanceId: options.instanceId,
    groups: new Set(),
    directories: new Set(),
    isDismissed: false,
  };
  // Its marker differs from ours: a sweep of this instance must not end the sweeper.
  const spawner = createSpawner({
    instanceId: `${options.instanceId}.guardian`,
    onStart: () => undefined,
    onEnd: () => undefined,
  });
  let child: ChildHandle;
  // A message leaves with this turn of the event loop, not before: a kill -9 within the turn that starts a child loses its
  // group. The child's marker covers that, except for a child that cleaned its environment; the record on disk covers both.
  const tell = (message: string): void => void child.stdin?.write(`${message}\n`);
  const start = async (): Promise<void> => {
    child = await spawner.start({
      command: [...options.executable, guardianArgument],
      cwd: '/',
      environment: options.environment,
      stdin: 'pipe',
    });
    tell(`instance ${charge.instanceId}`);
    for (const pgid of charge.groups) tell(`start ${pgid}`);
    for (const directory of charge.directories) tell(`remove ${directory}`);
  };
  const watch = async (): Promise<void> => {
    for (let restarts = 0; ; restarts += 1) {
      const exit = await child.exited;
      if (charge.isDismissed) return;
      if (restarts >= restartsMax) break;
      options.log.warn('The guardian ended and is started again', { ...exit });
      await start();
    }
    options.log.error('The guardian ended again: a kill -9 of this process may now leave processes behind');
  };
  await start();
  const watching = watch().catch((error: unknown) =>
    options.log.error('The guardian could not be started again', { error }),
  );
  return {
    scope: {
      instanceId: options.instanceId,
      onStart: (pgid) => {
        charge.groups.add(pgid);
        tell(`start ${pgid}`);
      },
      onEnd: (pgid) => {
        charge.groups.delete(pgid);
        tell(`end ${pgid}`);
      },
    },
    removeOnDeath: (directory) => {
      if (!isRemovable(directory)) throw new Error(`${directory} is not a directory that a guardian removes`);
      charge.directories.add(directory);
      tell(`remove ${directory}`);
    },
    stop: async () => {
      charge.isDismissed = true;
      tell('dismiss');
      child.stdin?.end();
      const timer = setTimeout(() => child.signalGroup('SIGKILL'), dismissalMs);
      await watching;
      clearTimeout(timer);
    },
  };
}
