// Two minutes of an execution a second: memory, descriptors and processes of a daemon stay where they are.
import { expect, test } from 'bun:test';
import { runSoak, type Sample, type Soak, soakSummary, soakViolations } from './soak-run.ts';

const minutes = 2;

test('a daemon under load does not grow', async () => {
  const soak = await runSoak({ minutes, say: (line) => console.log(line) });
  console.log(soakSummary(soak));
  expect(soakViolations(soak)).toEqual([]);
}, 240_000);

const samplesOf = (bytes: (minute: number) => number, descriptors: (index: number) => number): Sample[] =>
  Array.from({ length: 24 }, (_, index) => ({
    atMs: index * 5_000,
    rssBytes: bytes(index / 12),
    descriptors: descriptors(index),
  }));

test('growth of every kind is noticed, noise is not', () => {
  const noisy = samplesOf(
    (minute) => 2e8 + 4e6 * Math.sin(minute * 40),
    (index) => 30 + (index % 2),
  );
  const flat: Soak = { worker: noisy, supervisor: noisy, processes: noisy.map(() => 5), executions: 1, failed: [] };
  expect(soakViolations(flat)).toEqual([]);
  const grown = samplesOf(
    (minute) => 2e8 + 4e6 * minute,
    () => 30,
  );
  expect(soakViolations({ ...flat, worker: grown })).toEqual([
    expect.stringMatching(/memory of the worker rises \d\.\d+ % a minute/),
  ]);
  expect(
    soakViolations({
      ...flat,
      supervisor: samplesOf(
        () => 5e7,
        (index) => 10 + index,
      ),
    }),
  ).toEqual([expect.stringContaining('descriptors')]);
  expect(soakViolations({ ...flat, processes: noisy.map((_, index) => 5 + Math.floor(index / 6)) })).toEqual([
    expect.stringContaining('processes'),
  ]);
  expect(soakViolations({ ...flat, failed: ['x ended failed'] })).toEqual(['x ended failed']);
});
