// The machine's numbers are real: they agree with what the system's own tools say.
import { expect, test } from 'bun:test';
import { tmpdir } from 'node:os';
import * as v from 'valibot';
import { systemInfoSchema } from '../../../src/protocol/control-plane.ts';
import { createSystemInfoCollector } from '../../../src/telemetry/system-info.ts';

const options = { version: '1.2.3', workingDirectory: '/work', dataDirectory: tmpdir() };
const run = (...command: string[]): string => Bun.spawnSync(command).stdout.toString();

test('agrees with df, nproc, uname and the protocol', () => {
  const info = createSystemInfoCollector(options).collect();
  expect(v.parse(systemInfoSchema, info)).toEqual(info);
  const [total, used] =
    run('df', '-B1', '--output=size,used', tmpdir()).split('\n')[1]?.trim().split(/\s+/).map(Number) ?? [];
  expect(info.disk_used).toBeWithin((used ?? 0) * 0.95, (used ?? 0) * 1.05 + 1);
  expect(info.disk_total).toBeLessThanOrEqual(total ?? 0);
  expect(info).toMatchObject({ pid: process.pid, cwd: '/work', cli_version: '1.2.3', cpu_count: Number(run('nproc')) });
  expect(info.os_version).toBe(run('uname', '-r').trim());
  expect(info.memory_used).toBeWithin(1, info.memory_total ?? 0);
  for (const percent of [info.cpu_percent, info.memory_percent, info.disk_percent])
    expect(percent).toBeWithin(0, 100.1);
});

test('CPU use is that of the time since the last call', async () => {
  const collector = createSystemInfoCollector(options);
  collector.collect();
  const worker = Bun.spawn(['sh', '-c', 'while :; do :; done']);
  await Bun.sleep(400);
  const busy = collector.collect().cpu_percent ?? 0;
  worker.kill('SIGKILL');
  expect(busy).toBeGreaterThanOrEqual(90 / (collector.collect().cpu_count ?? 1) / 2);
  // Twice within one step of the kernel's clock: still a number, not a division by nothing.
  expect(collector.collect().cpu_percent).toBeWithin(0, 100.1);
});

test('a directory that is not there yet leaves the disk out, and a call is cheap', () => {
  const collector = createSystemInfoCollector({ ...options, dataDirectory: '/no/such/directory' });
  expect(collector.collect().disk_total).toBeUndefined();
  const start = performance.now();
  for (let count = 0; count < 100; count += 1) collector.collect();
  expect((performance.now() - start) / 100).toBeLessThan(5);
});
