// The build's last look at its result: no path of the build machine may be in it.
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { assertNamesNoCheckout } from '../../../scripts/checkout-names.ts';

const root = resolve(import.meta.dir, '../../..');
const directory = mkdtempSync(join(tmpdir(), 'kubiya-build-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function fileWith(text: string, encoding: 'utf8' | 'utf16le'): string {
  const path = join(directory, 'binary');
  const padding = Buffer.alloc(1_001, 7);
  writeFileSync(path, Buffer.concat([padding, Buffer.from(text, encoding), padding]));
  return path;
}

test('a path of node_modules or of the source is refused, with one byte a character or two, and shown', () => {
  for (const encoding of ['utf8', 'utf16le'] as const) {
    for (const path of ['node_modules/hono/index.js', 'src/main.ts', '.cache/x', 'scripts/y']) {
      expect(() => assertNamesNoCheckout(fileWith(`look at ${join(root, path)}!`, encoding), root)).toThrow(path);
    }
  }
});

test('anything else is let through', () => {
  expect(() =>
    assertNamesNoCheckout(fileWith('/$bunfs/root/node_modules/hono and src/main.ts', 'utf8'), root),
  ).not.toThrow();
});
