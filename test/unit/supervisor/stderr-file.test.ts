// A worker's stderr: small whatever it prints, and the end of it at hand after a crash.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { capStderr, stderrBytesMax, stderrSize, stderrTail } from '../../../src/supervisor/stderr-file.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kubiya-stderr-'));
  path = join(directory, 'stderr.log');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('the tail is what came since the start, without empty lines, and no more than a screen', () => {
  writeFileSync(path, 'of the worker before\n');
  const from = stderrSize(path);
  expect(stderrTail(path, from)).toEqual([]);
  appendFileSync(path, 'panic: ünïcode\n\n  at somewhere\nlast without newline');
  expect(stderrTail(path, from)).toEqual(['panic: ünïcode', '  at somewhere', 'last without newline']);
  appendFileSync(path, `\n${Array.from({ length: 500 }, (_, index) => `line ${index}`).join('\n')}`);
  const tail = stderrTail(path, from);
  expect(tail).toHaveLength(40);
  expect(tail.at(-1)).toBe('line 499');
});

test('a file that has grown is cut to its end, and who appends goes on behind it', () => {
  const writer = openSync(path, 'a');
  const line = `${'x'.repeat(1023)}\n`;
  for (let index = 0; index < 1_500; index += 1) writeSync(writer, line);
  writeSync(writer, 'the end before the cut\n');
  capStderr(path);
  expect(stderrSize(path)).toBe(256 * 1024);
  writeSync(writer, 'after the cut\n');
  closeSync(writer);
  expect(readFileSync(path, 'utf8')).toEndWith('the end before the cut\nafter the cut\n');
  expect(stderrTail(path, stderrBytesMax * 2).at(-1)).toBe('after the cut');
  capStderr(path);
  expect(stderrSize(path)).toBe(256 * 1024 + 'after the cut\n'.length);
});

test('no file is no trouble', () => {
  capStderr(path);
  expect(stderrSize(path)).toBe(0);
  expect(stderrTail(path, 0)).toEqual([]);
  expect(stderrTail(directory, 0)).toEqual([]);
});
