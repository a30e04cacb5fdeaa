// The table of tools: fresh, complete, and every row with a test.
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { skillTypes as knownTypes } from '../../../src/protocol/control-plane.ts';
import { describeSkillTypes } from '../../../src/tools/skill-types.ts';
import { rowsOf, tableFile, tableText } from '../../../scripts/tools-table.ts';

test('every tool, key and variant has a test that is named for it', () => {
  const rows = rowsOf();
  expect(rows.length).toBeGreaterThan(100);
  expect(rows.filter((row) => row.test === undefined).map(({ marker }) => marker)).toEqual([]);
});

test('src/tools/TOOLS.md is what scripts/tools-table.ts writes', () => {
  expect(readFileSync(tableFile, 'utf8') === tableText()).toBe(true);
});

test('the control plane accepts exactly the kinds of skills there are', () => {
  expect([...knownTypes].map(String).sort()).toEqual(
    describeSkillTypes()
      .map(({ type }) => type)
      .sort(),
  );
});

test('every key and every tool is described', () => {
  for (const { type, keys, tools } of describeSkillTypes()) {
    for (const { name, description, schema } of keys) {
      expect({ type, name, isDescribed: description.length > 5 && Object.keys(schema).length > 0 }).toMatchObject({
        isDescribed: true,
      });
    }
    for (const { name, description } of tools)
      expect({ name, length: description.length > 10 }).toMatchObject({ length: true });
  }
});
