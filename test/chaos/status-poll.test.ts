// The comparison of a status with /proc: what it must notice, and what is only a moment between two truths.
import { expect, test } from 'bun:test';
import { type Poll, type Scene, untruths } from './status-poll.ts';

const scene = (...pids: number[]): Scene => ({
  workers: pids.map((pid) => ({ pid, isFrozen: false })),
  supervisors: [1],
});
const frozen: Scene = { workers: [{ pid: 7, isFrozen: true }], supervisors: [1] };
const well = { state: 'running', healthy: true, pid: 1, worker_pid: 7, reason: null };

function poll(status: object | string, changes: Partial<Poll> = {}): Poll {
  const stdout = typeof status === 'string' ? status : JSON.stringify(status);
  return { atMs: 0, durationMs: 50, code: 0, stdout, stderr: '', before: scene(7), after: scene(7), ...changes };
}

test.each<[string, Poll]>([
  ['all is well', poll(well)],
  ['it crashed while the answer was made', poll(well, { after: scene() })],
  [
    'it starts again',
    poll({ ...well, state: 'starting', healthy: false, worker_pid: 8 }, { code: 1, before: scene(), after: scene(8) }),
  ],
  [
    'the next one is there before its supervisor has said so',
    poll(
      { ...well, state: 'backing-off', healthy: false, worker_pid: null },
      { code: 1, before: scene(8), after: scene(8) },
    ),
  ],
  ['frozen, and said to be', poll({ ...well, healthy: false }, { code: 1, before: frozen, after: frozen })],
  ['frozen in this moment', poll(well, { after: frozen })],
  [
    'nothing there',
    poll({ ...well, state: 'stopped', healthy: false, worker_pid: null }, { code: 1, before: scene(), after: scene() }),
  ],
])('%s', (_name, given) => {
  expect(untruths(given, new Set([7]))).toEqual([]);
});

test.each<[string, Poll]>([
  ['two workers', poll(well, { before: scene(7, 8) })],
  ['no answer', poll('', { code: 134 })],
  ['an answer that takes for ever', poll(well, { durationMs: 7_000 })],
  ['an exit code of its own', poll(well, { code: 1 })],
  ['healthy while it drains', poll({ ...well, state: 'draining' })],
  ['the pid of a stranger', poll({ ...well, worker_pid: 9 })],
  ['running without a pid', poll({ ...well, worker_pid: null })],
  ['healthy although frozen', poll(well, { before: frozen, after: frozen })],
  ['stopped although it runs', poll({ ...well, state: 'stopped', healthy: false, worker_pid: null }, { code: 1 })],
  [
    'running with nothing there',
    poll({ ...well, healthy: false, worker_pid: null }, { code: 1, before: scene(), after: scene() }),
  ],
])('%s is noticed', (_name, given) => {
  expect(untruths(given, new Set([7]))).not.toEqual([]);
});
