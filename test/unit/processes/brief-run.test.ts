// Programs that have something short to say, and those that do not keep to it.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addonFailure } from '../../../src/processes/addon-probe.ts';
import { runBriefly } from '../../../src/processes/brief-run.ts';
import { findNode } from '../../../src/processes/find-node.ts';

const environment = { PATH: '/usr/bin:/bin' };
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'kubiya-brief-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const script = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
};

test('a service that a program leaves behind with its pipes does not hold us', async () => {
  const startMs = performance.now();
  const command = [script('shim', 'setsid sleep 25 & sleep 0.3; echo v20.1.0')];
  const { stdout, isLate } = await runBriefly({ command, environment, limitMs: 20_000 });
  expect({ stdout, isLate }).toEqual({ stdout: 'v20.1.0\n', isLate: false });
  expect(performance.now() - startMs).toBeLessThan(15_000);
}, 30_000);

test('what a program that is no Node says does not get into our sentence', async () => {
  script('node', "printf 'v20.1.0 \\033[31m garbage'");
  const search = await findNode({ PATH: directory });
  expect(search).toEqual({ ok: false, reason: `${join(directory, 'node')} is no Node: it prints no version` });
});

test('a failure that may be over at the next start is not remembered, a crash of the addon is', async () => {
  const memory = join(directory, 'addon-probe.json');
  const tryWith = (executable: string): Promise<string | null> =>
    addonFailure({
      executable: [executable],
      addon: 'x',
      environment,
      cacheDirectory: directory,
      mustVerify: false,
      repair: () => Promise.resolve(),
    });
  expect(await tryWith(script('noexec', 'echo failed to map segment >&2; exit 1'))).toBe('failed to map segment');
  expect(existsSync(memory)).toBe(false);
  expect(await tryWith(script('crash', 'kill -ILL $$'))).toBe('loading it ends with SIGILL');
  expect(existsSync(memory)).toBe(true);
});
