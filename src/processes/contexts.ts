// Changes the context file: one writer at a time, the old file or the new one and never half of either.
import { lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { type ContextEditor, editContexts } from '../config/context-edit.ts';
import { contextFileOf, readSource, unwrap } from '../config/context-file.ts';
import { prepareHome } from '../config/paths.ts';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { sleep } from '../lib/backoff.ts';
import { createId } from '../lib/ids.ts';
import { acquireLock, type Lock } from '../supervisor/lock.ts';

/** A change takes milliseconds; a hundred at once on a slow disk take seconds. */
const lockWaitMs = 10_000;
const lockPollMs = 20;
/** Writing takes milliseconds; a file that is younger may be that of a writer with another home. */
const remainsAgeMsMin = 60_000;
/** The kernel's own limit on Linux. */
const linksMax = 40;

/** Gives what `change` gives, after the file has been written. Also changes made at the same time are all kept. */
export async function changeContexts<T>(
  { paths }: Pick<Config, 'paths'>,
  change: (editor: ContextEditor) => T,
): Promise<T> {
  prepareHome(paths);
  const lock = await lockOf(`${paths.home}/config.lock`);
  try {
    // Also what a change would not touch must be right, or it would be written back by us.
    await contextFileOf(paths.contextFile);
    const source = unwrap(readSource(paths.contextFile));
    const { text, result } = await editContexts(paths.contextFile, source, change);
    if (text !== source) write(targetOf(paths.contextFile), text);
    return result;
  } finally {
    lock.release();
  }
}

async function lockOf(path: string): Promise<Lock> {
  const deadlineMs = performance.now() + lockWaitMs;
  for (;;) {
    const taken = acquireLock(path, { instanceId: createId() });
    if (taken.kind === 'acquired') return taken.lock;
    if (performance.now() > deadlineMs) {
      throw new KubiyaError('another kubiya is changing the context file and does not come to an end', {
        kind: 'configuration',
        code: 'context_file_locked',
        hint: taken.holder === undefined ? 'try again' : `look at the process ${taken.holder.pid}`,
        isRetryable: true,
      });
    }
    await sleep(lockPollMs);
  }
}

function write(path: string, text: string): void {
  try {
    // Renaming over /dev/null, which is how people say "none", would take it from the whole machine.
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) throw new Error('it is not a regular file');
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    removeRemains(path);
    writeFileAtomic(path, text);
  } catch (error) {
    throw new KubiyaError(`the context file ${path} cannot be written: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'context_file_not_written',
      hint: 'check the owner of its directory and the space on its disk, or set KUBIYA_CONFIG to another file',
      cause: error,
    });
  }
}

/** A writer that was killed leaves a file beside the other, and tokens in it. */
function removeRemains(path: string): void {
  const directory = dirname(path);
  for (const name of readdirSync(directory)) {
    if (!name.startsWith(`.${basename(path)}.`) || !name.endsWith('.tmp')) continue;
    const stats = statSync(join(directory, name), { throwIfNoEntry: false });
    if (stats !== undefined && Date.now() - stats.mtimeMs > remainsAgeMsMin)
      rmSync(join(directory, name), { force: true });
  }
}

/** Where a symbolic link leads, also when nothing is there yet: people keep this file elsewhere and link to it. */
function targetOf(path: string): string {
  let target = path;
  for (let links = 0; links < linksMax && isLink(target); links++)
    target = resolve(dirname(target), readlinkSync(target));
  return target;
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return false;
    throw error;
  }
}
