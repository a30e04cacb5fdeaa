// The log under abuse: writers that are killed, a burst with two followers, other programs that rotate, a directory that goes.
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readLog } from '../../src/telemetry/log-reader.ts';
import { createRotatingFile } from '../../src/telemetry/rotate.ts';
import { until } from '../support/until.ts';

const root = mkdtempSync(join(tmpdir(), 'log-files-'));
let path = '';
beforeEach(() => {
  path = join(mkdtempSync(join(root, 'case-')), 'logs', 'worker.log');
});
afterAll(() => rmSync(root, { recursive: true }));

const fixture = join(import.meta.dirname, '../fixtures/telemetry/burst.ts');
const entry =
  /^\S{24} \[INFO\] (?:worker: Task completed .* number=(\d+) duration_ms=1234|log: Kubiya worker: running version=1|log: The log goes on in a new file file=\S+)$/;

interface Burst {
  readonly from: number;
  readonly count: number;
  readonly bytesMax: number;
  readonly backups: number;
}
const startBurst = ({ from, count, bytesMax, backups }: Burst) =>
  spawn(process.execPath, [fixture, path, String(from), String(count), String(bytesMax), String(backups)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });

/** Oldest first. */
const files = (): string[] =>
  readdirSync(join(path, '..'))
    .map((name) => join(path, '..', name))
    .toSorted((left, right) => Number(right.split('.log.')[1] ?? 0) - Number(left.split('.log.')[1] ?? 0));
const numbersOf = (lines: readonly string[]): number[] =>
  lines.flatMap((line) => entry.exec(line)?.[1] ?? []).map(Number);

/** Throws for a line that is no whole entry. */
function checkLines(lines: readonly string[]): void {
  for (const line of lines) if (!entry.test(line)) throw new Error(`not an entry: ${line}`);
}

test('200,000 lines at once with two followers: nothing lost, split or out of order, no file over the limit', async () => {
  const burst = { from: 0, count: 200_000, bytesMax: 5_000_000, backups: 20 };
  // GNU tail on a file that is there, ours on whatever will be.
  expect(spawnSync(process.execPath, [fixture, path, '0', '0', '5000000', '20']).status).toBe(0);
  createRotatingFile({ path, bytesMax: 5_000_000, backups: 20 }).write('');
  const tail = spawn('tail', ['-n', '+1', '-s', '0.05', '-F', path], { stdio: ['ignore', 'pipe', 'ignore'] });
  let tailed = '';
  tail.stdout.setEncoding('utf8').on('data', (chunk: string) => (tailed += chunk));
  const end = new AbortController();
  const followed: string[] = [];
  const options = { path, linesMax: 0, sinceMs: undefined, matches: () => true, isFollowing: true, signal: end.signal };
  const following = (async () => {
    for await (const lines of readLog(options)) followed.push(...lines);
  })();
  await Bun.sleep(200);
  const writer = startBurst(burst);
  const [code] = (await once(writer, 'exit')) as [number];
  expect(code).toBe(0);
  const last = 'number=199999 ';
  await until(() => followed.at(-1)?.includes(last) === true && tailed.includes(last), { limitMs: 10_000 });
  end.abort();
  await following;
  tail.kill();
  const all = Array.from({ length: burst.count }, (_, index) => index);
  const names = files();
  expect(names.length).toBeGreaterThan(5);
  for (const name of names) {
    expect(statSync(name).size).toBeLessThanOrEqual(burst.bytesMax);
    expect(statSync(name).mode & 0o777).toBe(0o600);
  }
  expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700);
  const onDisk = names.flatMap((name) => readFileSync(name, 'utf8').trimEnd().split('\n'));
  for (const lines of [onDisk, followed, tailed.trimEnd().split('\n')]) {
    checkLines(lines);
    expect(Bun.deepEquals(numbersOf(lines), all)).toBe(true);
  }
}, 40_000);

test('writers that are killed at any moment leave whole lines only, and no number twice or missing before the last', async () => {
  let from = 0;
  for (let round = 0; round < 8; round += 1) {
    const writer = startBurst({ from, count: 1_000_000, bytesMax: 200_000, backups: 1_000 });
    const exited = once(writer, 'exit');
    const start = from;
    // Killed after it has written something, each time at another moment of its rotations.
    await until(() => existsSync(path) && lastNumber() > start, { limitMs: 10_000, intervalMs: 1 });
    await Bun.sleep(round * 7);
    writer.kill('SIGKILL');
    await exited;
    from = lastNumber() + 1;
  }
  // The next writer drops what the last one has not finished.
  createRotatingFile({ path, bytesMax: 200_000, backups: 1_000 }).write('');
  const lines = files().flatMap((name) => readFileSync(name, 'utf8').trimEnd().split('\n'));
  checkLines(lines);
  expect(
    Bun.deepEquals(
      numbersOf(lines),
      Array.from({ length: from }, (_, index) => index),
    ),
  ).toBe(true);
  for (const name of files()) expect(statSync(name).size).toBeLessThanOrEqual(200_000);
}, 40_000);

function lastNumber(): number {
  const newest = [path, `${path}.1`].filter(existsSync).map((name) => readFileSync(name, 'utf8'));
  return Math.max(-1, ...newest.flatMap((text) => numbersOf(text.trimEnd().split('\n').slice(-2))));
}

describe('other programs', () => {
  const linesOf = (name: string): string[] => readFileSync(name, 'utf8').split('\n').slice(0, -1);
  const open = (bytesMax = 1_000) =>
    createRotatingFile({ path, bytesMax, backups: 3, header: () => '# header\n', trailer: () => '# on\n' });
  /** As long as it may take to be noticed. */
  const aSecond = 1_000;

  test('a rename is noticed within a second, and the new file begins with the header', async () => {
    const file = open();
    file.write('one\n');
    renameSync(path, `${path}.old`);
    await Bun.sleep(aSecond);
    file.write('two\n');
    expect([linesOf(`${path}.old`), linesOf(path)]).toEqual([
      ['# header', 'one'],
      ['# header', 'two'],
    ]);
  });

  test('so are a removed file and a removed directory, which is made anew for its owner alone', async () => {
    const file = open();
    file.write('one\n');
    rmSync(path);
    await Bun.sleep(aSecond);
    file.write('two\n');
    expect(linesOf(path)).toEqual(['# header', 'two']);
    rmSync(join(path, '../..'), { recursive: true });
    await Bun.sleep(aSecond);
    expect(file.write('three\n')).toBe(true);
    expect(linesOf(path)).toEqual(['# header', 'three']);
    expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700);
    expect(file.linesLost).toBe(0);
    file.close();
    rmSync(join(path, '..'), { recursive: true });
    expect(file.write('after its end\n')).toBe(false);
    expect(existsSync(path)).toBe(false);
  });

  test('copytruncate leaves no hole and the new beginning has the header', async () => {
    const file = open();
    file.write('one\n');
    truncateSync(path);
    await Bun.sleep(aSecond);
    file.write('two\n');
    expect(linesOf(path)).toEqual(['# header', 'two']);
  });

  test('what a second process appends counts for the limit', async () => {
    const file = open(200);
    file.write(`${'a'.repeat(50)}\n`);
    open(200).write(`${'b'.repeat(100)}\n`);
    await Bun.sleep(aSecond);
    file.write(`${'c'.repeat(50)}\n`);
    expect(linesOf(`${path}.1`).map((line) => line.slice(0, 4))).toEqual(['# he', 'aaaa', 'bbbb', '# on']);
    expect(statSync(`${path}.1`).size).toBeLessThanOrEqual(200);
    expect(linesOf(path).map((line) => line.slice(0, 4))).toEqual(['# he', 'cccc']);
  });

  test('a directory in which nothing can be renamed costs lines, not the limit', () => {
    const file = open(100);
    file.write(`${'a'.repeat(60)}\n`);
    // A directory in the place of .1 that holds something cannot be replaced, not even by root.
    spawnSync('mkdir', ['-p', `${path}.1/x`, `${path}.2/x`, `${path}.3/x`]);
    for (let count = 0; count < 5; count += 1) expect(file.write(`${'b'.repeat(60)}\n`)).toBe(false);
    expect(linesOf(path)).toEqual(['# header', 'a'.repeat(60), '# on']);
    expect(file.linesLost).toBe(5);
    spawnSync('rm', ['-r', `${path}.1`, `${path}.2`, `${path}.3`]);
    expect(file.write(`${'c'.repeat(60)}\n`)).toBe(true);
    expect(linesOf(path)).toEqual(['# header', 'c'.repeat(60)]);
    expect(linesOf(`${path}.1`)).toEqual(['# header', 'a'.repeat(60), '# on']);
  });
});
