// What the last line of an execution says of its cost.
import { expect, test } from 'bun:test';
import { costText } from '../../../src/cli/render/summary.ts';

const ended = {
  executionId: 'e',
  status: 'completed',
  response: '',
  error: undefined,
  hint: undefined,
  durationMs: 1,
  usage: {},
};

test.each([
  [undefined, false, undefined],
  [0, false, undefined],
  [0, true, undefined],
  [0.00004, false, '0.0000 USD'],
  [1.23456, false, '1.2346 USD'],
  [1.23456, true, '1.2346 USD (estimated)'],
] as const)('a cost of %p, estimated: %p', (costUsd, isCostEstimated, text) => {
  expect(costText({ ...ended, costUsd, isCostEstimated })).toBe(text);
});
