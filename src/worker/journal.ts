// What calls have started and finished, on disk before anyone is told: the memory that a killed worker leaves to the next one.
import { constants, readFileSync, writeSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { errnoOf, KubiyaError } from '../errors.ts';

/** `turn` lets old records go: once a call of a later turn is received, Temporal has the results of the earlier ones. */
const recordSchema = v.variant('type', [
  v.object({ type: v.literal('received'), call: v.string(), turn: v.number(), attempt: v.number(), at: v.string() }),
  v.object({ type: v.literal('started'), call: v.string(), turn: v.number(), at: v.string() }),
  /** A started call ended without a result and without an effect that matters: it may start again. */
  v.object({ type: v.literal('released'), call: v.string(), turn: v.number(), at: v.string() }),
  v.object({ type: v.literal('output'), call: v.string(), turn: v.number(), text: v.string() }),
  v.object({ type: v.literal('finished'), call: v.string(), turn: v.number(), at: v.string(), result: v.unknown() }),
]);
export type JournalRecord = v.InferOutput<typeof recordSchema>;

/** What the journal knows of one call. */
export interface JournalEntry {
  readonly turn: number;
  readonly attempts: ReadonlySet<number>;
  readonly hasStarted: boolean;
  /** The newest output written before the end, at most `outputCharactersMax`. */
  readonly output: string;
  /** Wrapped, because a result may be undefined. */
  readonly finished?: { readonly result: unknown };
}

export interface ExecutionJournal {
  entry(callId: string): JournalEntry | undefined;
  /** Nothing is known to run. */
  isIdle(): boolean;
  /** Appends with one write. `isSynced` waits for the disk. Throws a KubiyaError `journal_unwritable`. */
  append(records: readonly JournalRecord[], options: { readonly isSynced: boolean }): Promise<void>;
  close(): Promise<void>;
}

export interface Journal {
  /** The execution's journal, read from disk the first time. */
  open(executionId: string): Promise<ExecutionJournal>;
  /** Closes the file of an execution that has ended; its records stay until the sweep. */
  release(executionId: string): Promise<void>;
  close(): Promise<void>;
}

/** A file above this size loses the turns that Temporal has; a turn's own results fit many times. */
const fileBytesBeforeCompaction = 4_000_000;
/** Output kept for a call that gets interrupted: what a model can use to decide what to do. */
const outputCharactersMax = 16_000;
/** A week answers every question about a past run; a running execution touches its file at each call. */
const retentionMs = 7 * 24 * 60 * 60 * 1000;
const fileSuffix = '.jsonl';
/** An execution may end on another worker, which nobody tells us; a process has 1,024 descriptors where it has few. */
const openFilesMax = 200;

export async function createJournal(directory: string, nowMs: number): Promise<Journal> {
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch(rethrow);
  await sweepOldFiles(directory, nowMs);
  const open = new Map<string, Promise<ExecutionJournal>>();
  return {
    open: async (executionId) => {
      const existing = open.get(executionId);
      open.delete(executionId); // the newest is the last
      if (existing !== undefined) open.set(executionId, existing);
      if (existing !== undefined) return existing;
      await closeOldest(open);
      const again = open.get(executionId);
      if (again !== undefined) return again;
      const opening = openExecution(journalFile(directory, executionId));
      open.set(executionId, opening);
      opening.catch(() => open.delete(executionId));
      return opening;
    },
    release: async (executionId) => {
      const journal = open.get(executionId);
      open.delete(executionId);
      await (await journal)?.close();
    },
    close: async () => {
      const all = [...open.values()];
      open.clear();
      for (const journal of all) await (await journal.catch(() => undefined))?.close();
    },
  };
}

/** One call as a person sees it. */
export interface JournalledCall {
  readonly call: string;
  readonly turn: number;
  readonly attempts: readonly number[];
  /** `received` has not begun, `started` runs or was interrupted. */
  readonly state: 'received' | 'started' | 'finished';
  /** The end of what it printed before it ended. */
  readonly output: string;
}

/** Where the records of an execution are. */
export function journalFile(directory: string, executionId: string): string {
  return join(directory, fileName(executionId));
}

/** Of an execution that may be running, of any worker; null when there is no such file or it cannot be read. */
export function readJournalFile(path: string): readonly JournalledCall[] | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return null;
  }
  return [...readRecords(text)].map(([call, { turn, attempts, hasStarted, output, finished }]) => ({
    call,
    turn,
    attempts: [...attempts],
    state: finished !== undefined ? 'finished' : hasStarted ? 'started' : 'received',
    output,
  }));
}

/** One whose calls have all ended; should it be needed after all, it is read again. */
async function closeOldest(open: Map<string, Promise<ExecutionJournal>>): Promise<void> {
  if (open.size < openFilesMax) return;
  for (const [executionId, opening] of open) {
    const journal = await opening.catch(() => undefined);
    if (journal?.isIdle() !== true) continue;
    open.delete(executionId);
    await journal.close();
    return;
  }
}

async function openExecution(path: string): Promise<ExecutionJournal> {
  const handle = await openForAppend(path);
  const text = await handle.readFile('utf8').catch(rethrow);
  let entries = readRecords(text);
  /** Undefined when it was closed; what then comes late opens it again. */
  let file: FileHandle | undefined = handle;
  let bytes = Buffer.byteLength(text);
  let isTorn = text !== '' && !text.endsWith('\n');
  let newestTurn = 0;
  /** While it is set the file is being replaced, and what is appended to the old one would be lost. */
  let compacting: Promise<void> | undefined;

  const compact = async (turn: number): Promise<void> => {
    entries = new Map([...entries].filter(([, entry]) => entry.turn >= turn));
    await replaceFile(path, linesOf([...entries].flatMap(([call, entry]) => recordsOf(call, entry))));
    const old = file;
    file = await openForAppend(path);
    await old?.close();
    bytes = (await file.stat()).size;
    isTorn = false;
  };

  return {
    entry: (callId) => entries.get(callId),
    isIdle: () => [...entries.values()].every((entry) => !entry.hasStarted || entry.finished !== undefined),
    append: async (records, { isSynced }) => {
      const turn = Math.max(...records.map((record) => record.turn));
      try {
        if (turn > newestTurn && bytes > fileBytesBeforeCompaction) {
          compacting ??= compact(turn).finally(() => (compacting = undefined));
        }
        if (compacting !== undefined) await compacting;
        const current = (file ??= await openForAppend(path));
        newestTurn = Math.max(newestTurn, turn);
        const data = Buffer.from((isTorn ? '\n' : '') + linesOf(records));
        // A write that fails may have written a part: until it has not, the line counts as torn.
        isTorn = true;
        // Into the page cache, which takes less time than a trip to the thread pool would.
        const bytesWritten = writeSync(current.fd, data);
        isTorn = bytesWritten !== data.length;
        bytes += bytesWritten;
        if (isTorn) throw Object.assign(new Error('short write'), { code: 'ENOSPC' });
        if (isSynced) await current.datasync();
      } catch (error) {
        rethrow(error);
      }
      for (const record of records) fold(entries, record);
    },
    close: async () => {
      const closing = file;
      file = undefined;
      await closing?.close();
    },
  };
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  const next = await open(temporary, 'w', 0o600);
  try {
    await next.writeFile(text);
    await next.datasync();
  } finally {
    await next.close();
  }
  await rename(temporary, path);
}

function openForAppend(path: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0);
  return open(path, flags, 0o600).catch(rethrow);
}

/** An execution id comes from the control plane: never let it name a path. */
function fileName(executionId: string): string {
  const name = executionId.replaceAll(/[^A-Za-z0-9_-]/g, (character) => `%${character.codePointAt(0)?.toString(16)}`);
  return `${name.slice(0, 180)}${fileSuffix}`;
}

type MutableEntry = {
  turn: number;
  attempts: Set<number>;
  hasStarted: boolean;
  output: string;
  finished?: { result: unknown };
};

function readRecords(text: string): Map<string, MutableEntry> {
  const entries = new Map<string, MutableEntry>();
  for (const line of text.split('\n')) {
    const record = parseRecord(line);
    if (record !== undefined) fold(entries, record);
  }
  return entries;
}

/** A torn or foreign line is no record: what it would have said counts as not written. */
function parseRecord(line: string): JournalRecord | undefined {
  if (line === '') return undefined;
  try {
    const parsed = v.safeParse(recordSchema, JSON.parse(line));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

function fold(entries: Map<string, MutableEntry>, record: JournalRecord): void {
  let entry = entries.get(record.call);
  if (entry === undefined) {
    entry = { turn: record.turn, attempts: new Set(), hasStarted: false, output: '' };
    entries.set(record.call, entry);
  }
  switch (record.type) {
    case 'received':
      entry.attempts.add(record.attempt);
      break;
    case 'started':
      entry.hasStarted = true;
      break;
    case 'released':
      entry.hasStarted = false;
      break;
    case 'output':
      entry.output = (entry.output + record.text).slice(-outputCharactersMax);
      break;
    case 'finished':
      entry.finished = { result: record.result };
      break;
  }
}

function recordsOf(call: string, entry: JournalEntry): readonly JournalRecord[] {
  const at = new Date(0).toISOString();
  const base = { call, turn: entry.turn };
  return [
    ...[...entry.attempts].map((attempt): JournalRecord => ({ ...base, type: 'received', attempt, at })),
    ...(entry.hasStarted ? [{ ...base, type: 'started', at } as const] : []),
    ...(entry.output === '' ? [] : [{ ...base, type: 'output', text: entry.output } as const]),
    ...(entry.finished === undefined
      ? []
      : [{ ...base, type: 'finished', at, result: entry.finished.result } as const]),
  ];
}

const linesOf = (records: readonly JournalRecord[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('');

async function sweepOldFiles(directory: string, nowMs: number): Promise<void> {
  const files: { readonly path: string; readonly mtimeMs: number }[] = [];
  for (const name of await readdir(directory).catch(rethrow)) {
    if (!name.endsWith(fileSuffix)) continue;
    const path = join(directory, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined) files.push({ path, mtimeMs: found.mtimeMs });
  }
  // A clock that is wrong at boot must not make the records of calls that just ran look old: what is young beside them stays.
  const newestMs = Math.min(nowMs, Math.max(...files.map(({ mtimeMs }) => mtimeMs)));
  for (const { path, mtimeMs } of files) if (newestMs - mtimeMs > retentionMs) await rm(path, { force: true });
}

function rethrow(error: unknown): never {
  if (error instanceof KubiyaError) throw error;
  const isFull = errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT';
  throw new KubiyaError(
    `the journal cannot be written${isFull ? ': the disk is full' : ` (${errnoOf(error) ?? 'unknown error'})`}`,
    {
      kind: 'configuration',
      code: isFull ? 'disk_full' : 'journal_unwritable',
      hint: 'free some space or set KUBIYA_HOME to a directory on another disk; no call starts without its journal',
      cause: error,
    },
  );
}
