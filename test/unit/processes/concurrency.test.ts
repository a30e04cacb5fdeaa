// How many calls run at once, on machines large and small.
import { describe, expect, test } from 'bun:test';
import { chooseConcurrency } from '../../../src/processes/concurrency.ts';

const megabyte = 1024 ** 2;
const asked = {
  concurrentActivitiesMax: 10,
  concurrentWorkflowsMax: 10,
  isConcurrencyAsked: { activities: false, workflows: false },
  cpuLimit: undefined,
  memoryBytesMax: undefined,
};

describe('the default', () => {
  test.each([
    [{}, {}],
    [{}, { cpus: 1, memoryBytes: 1024 * megabyte }],
    [{ cpuLimit: 64, memoryBytesMax: 2 ** 40 }, { cpus: 128 }],
  ])('stays with %j and %j', (own, limits) => {
    expect(chooseConcurrency({ ...asked, ...own }, limits)).toEqual({
      activitiesMax: 10,
      workflowsMax: 10,
      reason: null,
    });
  });

  test.each([
    [{ cpuLimit: 0.5 }, {}, 5, 5, 'At most 5 calls run at once instead of 10, because there are 0.5 processors;'],
    [{}, { cpus: 0.25 }, 3, 3, 'because there are 0.25 processors;'],
    [{}, { memoryBytes: 512 * megabyte }, 4, 4, 'because there are 512 MB of memory;'],
    [{ memoryBytesMax: 448 * megabyte }, { cpus: 2, memoryBytes: 4096 * megabyte }, 3, 3, 'because there are 448 MB'],
    [{ memoryBytesMax: 64 * megabyte }, {}, 1, 2, 'At most 1 calls run at once instead of 10'],
    [{ cpuLimit: 0.01 }, {}, 1, 2, 'because there are 0.01 processors;'],
  ] as const)('gives way to %j and %j', (own, limits, activitiesMax, workflowsMax, words) => {
    const chosen = chooseConcurrency({ ...asked, ...own }, limits);
    expect(chosen).toMatchObject({ activitiesMax, workflowsMax, reason: expect.stringContaining(words) });
  });
});

test('a value that was asked for stands, the other still gives way', () => {
  const small = { cpus: 0.1 };
  const both = { ...asked, concurrentActivitiesMax: 40, isConcurrencyAsked: { activities: true, workflows: true } };
  expect(chooseConcurrency(both, small)).toEqual({ activitiesMax: 40, workflowsMax: 10, reason: null });
  const one = { ...asked, concurrentActivitiesMax: 40, isConcurrencyAsked: { activities: true, workflows: false } };
  expect(chooseConcurrency(one, small)).toMatchObject({
    activitiesMax: 40,
    workflowsMax: 2,
    reason: expect.stringContaining('At most 2 workflow tasks run at once instead of 10'),
  });
});
