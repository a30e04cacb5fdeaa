// Cron expressions: what each field takes, and what Temporal is told.
import { expect, test } from 'bun:test';
import { cronForTemporal, cronProblem } from '../../../src/protocol/cron.ts';

test.each([
  ['* * * * *', ['* * * * *']],
  ['0 9 * * MON-FRI', ['0 9 * * 1,2,3,4,5']],
  ['  */15   0-6,22-23 1 jan,DEC ? ', ['*/15 0-6,22-23 1 1,12 *']],
  ['0 0 * * 7', ['0 0 * * 0']],
  ['0 0 * * 5-7', ['0 0 * * 0,5,6']],
  ['5/20 * * * *', ['5/20 * * * *']],
  ['0 0 */10 * *', ['0 0 */10 * *']],
  ['@daily', ['0 0 * * *']],
  ['@Weekly', ['0 0 * * 0']],
  // Either is enough when both are given.
  ['0 12 13 * FRI', ['0 12 13 * *', '0 12 * * 5']],
  ['0 12 30 2 1', ['0 12 30 2 *', '0 12 * 2 1']],
  ['0 0 29 2 *', ['0 0 29 2 *']],
  ['0 0 31 2,3 *', ['0 0 31 2,3 *']],
])('%s', (expression, expected) => {
  expect(cronProblem(expression)).toBeNull();
  expect(cronForTemporal(expression)).toEqual(expected);
});

test.each([
  ['', 'has 1 fields'],
  ['* * * *', 'has 4 fields'],
  ['* * * * * *', 'has 6 fields'],
  ['@every 5m', 'has 2 fields'],
  ['@reboot', 'unknown shorthand'],
  ['60 * * * *', 'a wrong minute'],
  ['-1 * * * *', 'a wrong minute'],
  ['0 24 * * *', 'a wrong hour'],
  ['0 0 0 * *', 'a wrong day of month'],
  ['0 0 32 * *', 'a wrong day of month'],
  ['0 0 1 13 *', 'a wrong month'],
  ['0 0 1 MON *', 'a wrong month'],
  ['0 0 * * 8', 'a wrong day of week'],
  ['0 0 * * JAN', 'a wrong day of week'],
  ['0 0 * * SUN-', 'a wrong day of week'],
  ['1,,2 * * * *', 'a wrong minute'],
  ['1-2-3 * * * *', 'a wrong minute'],
  ['*-5 * * * *', 'mixes * and a range'],
  ['30-10 * * * *', 'ends before it begins'],
  ['*/0 * * * *', 'a step of 0'],
  ['*/x * * * *', 'a wrong minute'],
  ['1.5 * * * *', 'a wrong minute'],
  ['L * * * *', 'a wrong minute'],
  ['0 0 31 4,6,9,11 *', 'never comes'],
  ['0 0 30 2 *', 'never comes'],
  [`${'1,'.repeat(500)}1 * * *`, 'has 4 fields'],
])('%s is refused', (expression, said) => {
  expect(cronProblem(expression)).toContain(said);
});
