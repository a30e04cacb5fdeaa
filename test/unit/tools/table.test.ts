// The table of tools: fresh, complete, and every row with a test.
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { rowsOf, tableFile, tableText } from '../../../scripts/tools-table.ts';

test('every tool, key and variant has a test that is named for it', () => {
  const rows = rowsOf();
  expect(rows.length).toBeGreaterThan(100);
  expect(rows.filter((row) => row.test === undefined).map(({ marker }) => marker)).toEqual([]);
});

test('src/tools/TOOLS.md is what scripts/tools-table.ts writes', () => {
  expect(readFileSync(tableFile, 'utf8') === tableText()).toBe(true);
});
