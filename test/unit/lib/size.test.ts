// Sizes read and written.
import { expect, test } from 'bun:test';
import { formatBytes, parseQuantity } from '../../../src/lib/size.ts';

test.each([
  ['512Mi', 512 * 2 ** 20],
  ['1.5Gi', 1.5 * 2 ** 30],
  ['2G', 2e9],
  ['1000m', 1],
  ['0.5', 0.5],
  ['7', 7],
  ['', null],
  ['-1', null],
  ['1 Gi', null],
  ['1GiB', null],
  ['1e3', null],
  ['0x10', null],
  ['1constructor', null],
])('%p is %p', (text, value) => expect(parseQuantity(text)).toBe(value));

test.each([
  [0, '0'],
  [7, '7'],
  [1000, '1k'],
  [1024, '1Ki'],
  [104_857_600, '100Mi'],
  [1_000_000, '1M'],
  [2 ** 31, '2Gi'],
  [1_234_567, '1234567'],
])('%p bytes are written %p, which means the same', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
  expect(parseQuantity(text)).toBe(bytes);
});
