// A build without the Temporal server: uses the one on the PATH, or says what to do.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from '../../scripts/build.ts';
import { hostTarget } from '../../scripts/targets.ts';
import { fetchDevServer } from '../../scripts/temporal-server.ts';
import { root } from './namespace.ts';

let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'kubiya-slim-'));
  await build({ target: hostTarget(), outfile: join(directory, 'kubiya'), devServerLevel: null, isFast: true });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function runAgent(path: string): { code: number; stdout: string; stderr: string } {
  const command = [
    join(directory, 'kubiya'),
    'exec',
    '--local',
    '--yes',
    '--model',
    'kubiya/offline',
    'Run `echo slim`',
  ];
  const environment = { PATH: path, HOME: directory };
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: directory, env: environment, stdin: 'ignore' });
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

test('without a temporal on the PATH it says how to get one and exits with 6', () => {
  const { code, stderr } = runAgent('/usr/bin:/bin');
  expect(stderr).toContain('carries no Temporal server');
  expect(stderr).toMatch(/hint: .*temporal/i);
  expect(code).toBe(6);
});

test('a temporal in a relative entry of the PATH is not taken', () => {
  symlinkSync('/bin/true', join(directory, 'temporal'));
  expect(runAgent(`.::/usr/bin:/bin`).code).toBe(6);
});

test('with a temporal on the PATH it runs an agent', async () => {
  const { devServer } = hostTarget();
  if (devServer === null) throw new Error('there is no Temporal server for this platform');
  const tools = join(directory, 'tools');
  mkdirSync(tools);
  symlinkSync(await fetchDevServer(devServer, join(root, '.cache/temporal')), join(tools, 'temporal'));
  const { code, stdout } = runAgent(`${tools}:/usr/bin:/bin`);
  expect(stdout).toContain('slim');
  expect(code).toBe(0);
});
