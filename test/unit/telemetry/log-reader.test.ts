// The log read back: the right lines, in order, across files, and what each condition keeps.
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import { appendFileSync, existsSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog } from '../../../src/telemetry/log.ts';
import { parseLine } from '../../../src/telemetry/log-line.ts';
import { createLineFilter, readLog, type ReadLogOptions } from '../../../src/telemetry/log-reader.ts';
import { createRedactor } from '../../../src/telemetry/redact.ts';
import { until } from '../../support/until.ts';

const root = mkdtempSync(join(tmpdir(), 'log-reader-'));
let path = '';
beforeEach(() => {
  path = join(mkdtempSync(join(root, 'case-')), 'worker.log');
});
afterAll(() => rmSync(root, { recursive: true }));

const base = { linesMax: undefined, sinceMs: undefined, matches: () => true, isFollowing: false } as const;
async function read(options: Partial<ReadLogOptions> = {}): Promise<string[]> {
  const lines: string[] = [];
  for await (const batch of readLog({ ...base, path, signal: new AbortController().signal, ...options })) {
    lines.push(...batch);
  }
  return lines;
}
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `line ${from + index}`);
const textOf = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

describe('what is there', () => {
  beforeEach(() => {
    writeFileSync(`${path}.2`, textOf(numbered(0, 10)));
    writeFileSync(`${path}.1`, textOf(numbered(10, 20)));
    writeFileSync(path, textOf(numbered(20, 30)));
  });

  test('all files, oldest first', async () => {
    expect(await read()).toEqual(numbered(0, 30));
  });

  test.each([
    [0, 30],
    [1, 29],
    [10, 20],
    [11, 19],
    [30, 0],
    [99, 0],
  ])('the last %d', async (linesMax, from) => {
    expect(await read({ linesMax })).toEqual(numbered(from, 30));
  });

  test('the last that match', async () => {
    expect(await read({ linesMax: 3, matches: (line) => line.endsWith('5') })).toEqual([
      'line 5',
      'line 15',
      'line 25',
    ]);
    expect(await read({ linesMax: 2, matches: (line) => line === 'line 3' })).toEqual(['line 3']);
  });

  test('a last line without its newline, and lines larger than what is read at once', async () => {
    const long = 'é'.repeat(400_000);
    appendFileSync(path, `${long}\nshort\ntorn`);
    expect(await read({ linesMax: 2 })).toEqual([long, 'short', 'torn']);
    expect(await read({ linesMax: 0 })).toEqual(['torn']);
    expect((await read()).length).toBe(33);
  });

  test('a number that is missing while another process rotates', async () => {
    renameSync(`${path}.1`, `${path}.9`);
    expect(await read()).toEqual([...numbered(0, 10), ...numbered(20, 30)]);
  });

  test('nothing at all', async () => {
    for (const name of ['', '.1', '.2']) rmSync(`${path}${name}`);
    expect(await read()).toEqual([]);
    writeFileSync(path, '');
    expect(await read({ linesMax: 5 })).toEqual([]);
  });
});

test.each(['text', 'json'] as const)('since a time, by level and by execution, in %s', async (format) => {
  const log = createLog({
    component: 'worker',
    level: 'debug',
    format,
    redactor: createRedactor(),
    file: { path, bytesMax: 1_000_000, backups: 1 },
  });
  log.info('early');
  await Bun.sleep(20);
  const sinceMs = Date.now();
  await Bun.sleep(20);
  log.debug('fine', { execution: 'e-1' });
  log.info('Task completed', { execution: 'e-12', duration_ms: 5, note: 'a "b" \\ c\nd' });
  log.warn('Activity failed', { execution: 'e-1', error: true });
  log.error('[ERROR] is only a word here');
  log.close();
  appendFileSync(path, 'panic: not an entry\n');
  const messages = async (options: Partial<ReadLogOptions>): Promise<(string | undefined)[]> =>
    (await read(options)).map((line) => parseLine(line)?.message);
  expect((await messages({ sinceMs })).slice(0, 2)).toEqual(['fine', 'Task completed']);
  expect(await read({ sinceMs })).toHaveLength(5);
  expect(await read({ sinceMs: Date.now() + 60_000 })).toEqual(['panic: not an entry']);
  const by = (filter: Parameters<typeof createLineFilter>[0]) => messages({ matches: createLineFilter(filter) });
  expect(await by({ level: 'warn' })).toEqual(['Activity failed', '[ERROR] is only a word here']);
  expect(await by({ execution: 'e-1' })).toEqual(['fine', 'Activity failed']);
  expect(await by({ pattern: /Task|Activity/, level: 'info' })).toEqual(['Task completed', 'Activity failed']);
  expect(await by({ pattern: /panic/ })).toEqual([undefined]);
  const [entry] = (await read({ matches: (line) => line.includes('Task completed') })).map((line) => parseLine(line));
  expect(entry).toMatchObject({ level: 'info', component: 'worker', message: 'Task completed' });
  expect(entry?.fields).toEqual({ execution: 'e-12', duration_ms: 5, note: 'a "b" \\ c\nd' });
  expect(entry?.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('the sentence of the metrics is a message, and a broken record is no entry', () => {
  const line = '2026-11-24T10:00:00.000Z [INFO] metrics: Metrics: tasks_completed=42, tasks_failed=0';
  expect(parseLine(line)).toMatchObject({ message: 'Metrics: tasks_completed=42, tasks_failed=0', fields: {} });
  for (const bad of ['', '{', '{}', '{"level":30,"time":"x"}', '{"level":30,"time":1e99}', '2026 [INFO] x', 'null']) {
    expect(parseLine(bad)).toBeUndefined();
  }
});

describe('following', () => {
  function follow(options: Partial<ReadLogOptions> = {}) {
    const end = new AbortController();
    const seen: string[] = [];
    const done = (async () => {
      const all = { ...base, path, linesMax: 0, isFollowing: true, signal: end.signal, ...options };
      for await (const lines of readLog(all)) seen.push(...lines);
    })();
    return {
      seen,
      sees: (last: string) =>
        until(() => seen.at(-1) === last, { limitMs: 5_000, what: () => `${last} after ${seen.slice(-3).join()}` }),
      stop: async () => {
        end.abort();
        await done;
      },
    };
  }

  test('a log that is not there yet, that is removed with its directory, and that comes again', async () => {
    const late = join(path, 'logs', 'worker.log');
    const followed = follow({ path: late });
    await Bun.sleep(150);
    await Bun.write(late, 'first\n');
    await followed.sees('first');
    rmSync(path, { recursive: true });
    await Bun.sleep(250);
    await Bun.write(late, 'second\n');
    await followed.sees('second');
    await followed.stop();
    expect(followed.seen).toEqual(['first', 'second']);
  });

  test('only whole lines, and only what is new', async () => {
    writeFileSync(path, 'old\nbegun');
    const followed = follow();
    await Bun.sleep(250);
    expect(followed.seen).toEqual([]);
    appendFileSync(path, ' and ended\nnext');
    await followed.sees('begun and ended');
    await followed.stop();
  });

  test('another program that truncates, and one that renames while we still write', async () => {
    writeFileSync(path, 'one\n');
    const followed = follow({ linesMax: undefined });
    await followed.sees('one');
    truncateSync(path);
    await Bun.sleep(250);
    appendFileSync(path, 'two\n');
    await followed.sees('two');
    renameSync(path, `${path}.1`);
    writeFileSync(path, 'four\n');
    await Bun.sleep(300);
    appendFileSync(`${path}.1`, 'three\n');
    await followed.sees('four');
    await followed.stop();
    expect(followed.seen).toEqual(['one', 'two', 'three', 'four']);
  });

  test('old files are not shown again when the newest is removed', async () => {
    writeFileSync(`${path}.1`, 'oldest\n');
    await Bun.sleep(20);
    writeFileSync(path, 'old\n');
    const followed = follow();
    await Bun.sleep(200);
    rmSync(path);
    await Bun.sleep(200);
    writeFileSync(path, 'new\n');
    await followed.sees('new');
    await followed.stop();
    expect(followed.seen).toEqual(['new']);
    expect(existsSync(`${path}.1`)).toBe(true);
  });

  test('several rotations at once are gone through in order', async () => {
    const log = createLog({
      component: 'w',
      level: 'info',
      format: 'text',
      redactor: createRedactor(),
      file: { path, bytesMax: 20_000, backups: 50 },
    });
    const followed = follow();
    log.info('start');
    await until(() => followed.seen.length > 0, { limitMs: 2_000, what: () => 'the first line' });
    for (let number = 0; number < 5_000; number += 1) log.info('n', { number });
    log.info('end');
    await until(() => followed.seen.at(-1)?.endsWith('end') === true, { limitMs: 5_000, what: () => 'the last line' });
    await followed.stop();
    const numbers = followed.seen.flatMap((line) => /number=(\d+)/.exec(line)?.[1] ?? []);
    expect(numbers).toEqual(Array.from({ length: 5_000 }, (_, index) => String(index)));
    log.close();
  });
});
