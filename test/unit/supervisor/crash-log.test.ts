// The supervisor's entries in worker.log: behind what is there, in the form that is wanted, without secrets.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logEnd } from '../../../src/supervisor/crash-log.ts';
import type { Decision } from '../../../src/supervisor/restart-policy.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kubiya-crash-log-'));
  path = join(directory, 'worker.log');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const crash: Decision = {
  kind: 'restart',
  reason: 'the worker was ended by SIGSEGV',
  hint: null,
  exitCode: null,
  afterMs: 16_400,
  crashesInRow: 5,
  isCrashLoop: true,
};
const secret = 'sk-0123456789abcdef';
const options = { bytesMax: 1_000_000, backups: 1, format: 'text', secrets: [secret] } as const;
const lines = (): string[] => readFileSync(path, 'utf8').trimEnd().split('\n');

test('a crash: what it printed, why it ended, when the next start is', () => {
  writeFileSync(path, 'the last line of the worker, cut in the mid');
  logEnd({ ...options, path }, crash, [`panic with ${secret}`, '\u001b[31mred']);
  const [first, ...own] = lines();
  expect(first).toBe('the last line of the worker, cut in the mid');
  expect(own.map((line) => line.replace(/^\S+ /, ''))).toEqual([
    '[ERROR] stderr: panic with [redacted]',
    String.raw`[ERROR] stderr: \u001b[31mred`,
    '[ERROR] supervisor: Crash loop: the worker was ended by SIGSEGV; it is started again in 16.4 s crashes_in_a_row=5',
  ]);
});

test('an end for good and an end in order', () => {
  const failed: Decision = { kind: 'failed', reason: 'the key is refused', hint: 'see the key', exitCode: 3 };
  logEnd({ ...options, path }, failed, []);
  logEnd({ ...options, path }, { kind: 'stopped', reason: 'stopped by SIGTERM', exitCode: 0 }, ['not told']);
  expect(lines().map((line) => line.replace(/^\S+ /, ''))).toEqual([
    '[ERROR] supervisor: Not started again: the key is refused exit_code=3 hint="see the key"',
    '[INFO] supervisor: The supervision ends: stopped by SIGTERM exit_code=0',
  ]);
});

test('as JSON where the worker logs JSON', () => {
  logEnd({ ...options, path, format: 'json' }, crash, [`with ${secret}`]);
  const records = lines().map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(records).toMatchObject([
    { component: 'stderr', msg: 'with [redacted]', level: 50 },
    { component: 'supervisor', crashes_in_a_row: 5, level: 50 },
  ]);
});

test('a place that takes no log ends nothing', () => {
  expect(() => logEnd({ ...options, path: join(directory, 'missing/worker.log') }, crash, ['x'])).not.toThrow();
});
