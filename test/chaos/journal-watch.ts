// Follows the journals of a worker as they are written, to kill the worker at a moment that they show.
import { type FSWatcher, closeSync, fstatSync, openSync, readSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { JournalLine } from '../support/worker-process.ts';

export interface JournalWatch {
  /** Called for each record written from now on, within about a millisecond. */
  onRecord: (executionId: string, record: JournalLine) => void;
  close(): void;
}

export function watchJournals(directory: string): JournalWatch {
  const offsets = new Map<string, number>();
  const result: JournalWatch = { onRecord: () => undefined, close: () => watcher.close() };
  const look = (name: string): void => {
    for (const line of newLines(join(directory, name), offsets, name)) {
      result.onRecord(name.slice(0, -'.jsonl'.length), JSON.parse(line) as JournalLine);
    }
  };
  const watcher: FSWatcher = watch(directory, (_event, name) => {
    if (typeof name === 'string' && name.endsWith('.jsonl')) look(name);
  });
  return result;
}

function newLines(path: string, offsets: Map<string, number>, name: string): string[] {
  const file = openSync(path, 'r');
  try {
    const from = offsets.get(name) ?? 0;
    const buffer = Buffer.alloc(Math.max(0, fstatSync(file).size - from));
    readSync(file, buffer, 0, buffer.length, from);
    const end = buffer.lastIndexOf(10) + 1;
    offsets.set(name, from + end);
    return buffer.toString('utf8', 0, end).split('\n').filter(Boolean);
  } finally {
    closeSync(file);
  }
}
