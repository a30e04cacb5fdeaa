// The rotating file on a real disk, a full one, and with a writer that is killed.
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { createRotatingFile } from '../../../src/telemetry/rotate.ts';

const root = mkdtempSync(join(tmpdir(), 'rotate-'));
let path = '';
beforeEach(() => {
  path = join(mkdtempSync(join(root, 'case-')), 'worker.log');
});
afterAll(() => rmSync(root, { recursive: true }));

const linesOf = (file: string): string[] => readFileSync(file, 'utf8').split('\n').slice(0, -1);
/** Oldest first, as a reader puts them together. */
const filesOf = (): string[] =>
  readdirSync(join(path, '..'))
    .map((name) => join(path, '..', name))
    .sort((left, right) => Number(right.split('.log.')[1] ?? 0) - Number(left.split('.log.')[1] ?? 0));

describe('rotation', () => {
  test('no line is lost, split or out of order, and no file is too large, whatever the lines', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 60 }), fc.boolean(), (lengths, isReopened) => {
        path = join(mkdtempSync(join(root, 'case-')), 'worker.log');
        const options = { path, bytesMax: 100, backups: 1_000, header: () => '# header\n', trailer: () => '# on\n' };
        let file = createRotatingFile(options);
        const written = lengths.map((length, index) => `${index}${'é'.repeat(length)}`.slice(0, length));
        for (const line of written) {
          expect(file.write(`${line}\n`)).toBe(true);
          if (isReopened) {
            file.close();
            file = createRotatingFile(options);
          }
        }
        file.close();
        const read = filesOf().flatMap((name) => {
          const lines = linesOf(name);
          expect(lines[0]).toBe('# header');
          const own = lines.filter((line) => !line.startsWith('# '));
          if (own.length > 1) expect(statSync(name).size).toBeLessThanOrEqual(100);
          // A single line that leaves no room has none either for where the log goes on.
          if (name !== path && own.length > 1) expect(lines.at(-1)).toBe('# on');
          return own;
        });
        expect(read).toEqual(written);
      }),
      { numRuns: 60 },
    );
  });

  test('keeps as many old files as asked for, the newest as .1', () => {
    const file = createRotatingFile({ path, bytesMax: 10, backups: 2 });
    for (const line of ['one', 'two', 'three', 'four', 'five']) file.write(`${line}.....\n`);
    expect(filesOf().map((name) => readFileSync(name, 'utf8').trim())).toEqual([
      'three.....',
      'four.....',
      'five.....',
    ]);
  });

  test('with no backups it still starts anew', () => {
    const file = createRotatingFile({ path, bytesMax: 10, backups: 0 });
    for (const line of ['one', 'two']) file.write(`${line}.....\n`);
    expect(filesOf()).toEqual([path]);
    expect(linesOf(path)).toEqual(['two.....']);
  });

  test('shifting stops at the first missing number', () => {
    writeFileSync(`${path}.1`, 'newest\n');
    writeFileSync(`${path}.3`, 'stray\n');
    const file = createRotatingFile({ path, bytesMax: 10, backups: 5 });
    for (const line of ['one', 'two']) file.write(`${line}.....\n`);
    expect(readFileSync(`${path}.2`, 'utf8')).toBe('newest\n');
    expect(readFileSync(`${path}.3`, 'utf8')).toBe('stray\n');
    expect(existsSync(`${path}.4`)).toBe(false);
  });

  test('a file from before is gone on with: narrowed to its owner, its torn last line dropped', () => {
    writeFileSync(path, 'old\ntorn');
    chmodSync(path, 0o644);
    createRotatingFile({ path, bytesMax: 100, backups: 1, header: () => '# header\n' }).write('new\n');
    expect(linesOf(path)).toEqual(['old', 'new']);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('a follower of the old file reads to its end where the log goes on', async () => {
    writeFileSync(path, '');
    const tail = Bun.spawn(['tail', '-n', '+1', '-f', path], { stdout: 'pipe' });
    await Bun.sleep(100);
    const file = createRotatingFile({ path, bytesMax: 40, backups: 1, trailer: () => '# goes on\n' });
    for (const line of ['one', 'two', 'three']) file.write(`${line}.............\n`);
    await Bun.sleep(200);
    tail.kill();
    expect(await new Response(tail.stdout).text()).toBe('one.............\n# goes on\n');
  });
});

describe('a disk that does not take it', () => {
  test('a directory that cannot be made costs lines until it can, and they are reported', () => {
    const directory = join(path, '..', 'late');
    const late = join(directory, 'worker.log');
    writeFileSync(directory, 'in the way');
    const lossReport = (lines: number, reason: unknown) => `${lines} lost (${(reason as { code: string }).code})\n`;
    const file = createRotatingFile({ path: late, bytesMax: 100, backups: 1, lossReport });
    expect([file.write('one\n'), file.write('two\n')]).toEqual([false, false]);
    expect(file).toMatchObject({ linesLost: 2, lastError: { code: 'ENOTDIR' } });
    rmSync(directory);
    expect([file.write('kept\n'), file.write('next\n')]).toEqual([true, true]);
    expect(linesOf(late)).toEqual(['2 lost (ENOTDIR)', 'kept', 'next']);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(file.linesLost).toBe(2);
  });

  test('a full disk loses whole lines only, counts them, and goes on when there is room', () => {
    // A file system of 16 kB in a mount namespace of its own.
    const fixture = join(import.meta.dirname, '../../fixtures/telemetry/full-disk.ts');
    const directory = join(path, '..');
    const script = `mount -t tmpfs -o size=16k tmpfs "$0" && exec "$1" "$2" "$0"`;
    const unshare = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script];
    const result = Bun.spawnSync([...unshare, directory, process.execPath, fixture]);
    expect(result.stderr.toString()).toBe('');
    expect(JSON.parse(result.stdout.toString())).toEqual({
      code: 'ENOSPC',
      areLost: true,
      areLinesWhole: true,
      doesGoOn: true,
    });
  });

  test('kill -9 loses no line that was acknowledged', async () => {
    const fixture = join(import.meta.dirname, '../../fixtures/telemetry/log-writer.ts');
    const writer = Bun.spawn([process.execPath, fixture, path], { stdout: 'pipe', stderr: 'inherit' });
    let output = '';
    const decoder = new TextDecoder();
    for await (const chunk of writer.stdout) {
      output += decoder.decode(chunk, { stream: true });
      if (output.length > 40_000) writer.kill('SIGKILL');
    }
    const acknowledged = output.split('\n').slice(0, -1);
    expect(acknowledged.length).toBeGreaterThan(1_000);
    const onDisk = new Set(filesOf().flatMap(linesOf));
    expect(filesOf().length).toBeGreaterThan(2);
    expect(acknowledged.filter((line) => !onDisk.has(line))).toEqual([]);
  });
});
