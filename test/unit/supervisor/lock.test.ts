// The queue lock between real processes.
import { afterAll, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { acquireLock } from '../../../src/supervisor/lock.ts';

const root = mkdtempSync(join(tmpdir(), 'lock-'));
let path = '';
beforeEach(() => {
  path = join(mkdtempSync(join(root, 'case-')), 'worker.lock');
});
const holders: Bun.Subprocess[] = [];
afterAll(() => {
  for (const holder of holders) holder.kill('SIGKILL');
  rmSync(root, { recursive: true });
});

async function startHolder(instanceId: string) {
  const fixture = join(import.meta.dirname, '../../fixtures/supervisor/lock-holder.ts');
  const holder = Bun.spawn([process.execPath, fixture, path, instanceId], { stdout: 'pipe', stderr: 'ignore' });
  holders.push(holder);
  const { value } = await holder.stdout.getReader().read();
  const [kind = '', child = ''] = new TextDecoder().decode(value).trim().split(' ');
  // As a pid 0 would be our own process group.
  if (!(Number(child) > 1)) throw new Error('the holder did not say whom it started');
  return { holder, kind, child: Number(child) };
}

test('of two processes one gets it, and the other learns who has it', async () => {
  const { holder, kind, child } = await startHolder('instance-a');
  expect(kind).toBe('acquired');
  const start = performance.now();
  expect(acquireLock(path, { instanceId: 'instance-b' })).toEqual({
    kind: 'held',
    holder: { pid: holder.pid, instanceId: 'instance-a' },
  });
  expect(performance.now() - start).toBeLessThan(500);

  holder.kill('SIGKILL');
  await holder.exited;
  // At once, although a child of the dead holder still runs.
  process.kill(child, 0);
  const result = acquireLock(path, { instanceId: 'instance-b' });
  expect(result.kind).toBe('acquired');
  process.kill(child, 'SIGKILL');
  if (result.kind === 'acquired') result.lock.release();
});

test('a stopped holder keeps it', async () => {
  const { holder, child } = await startHolder('instance-a');
  holder.kill('SIGSTOP');
  expect(acquireLock(path, { instanceId: 'b' }).kind).toBe('held');
  holder.kill('SIGKILL');
  process.kill(child, 'SIGKILL');
  await holder.exited;
});

test('within one process too, until it is released; asking does not break it for others', async () => {
  const first = acquireLock(path, { instanceId: 'a' });
  expect(first.kind).toBe('acquired');
  expect(acquireLock(path, { instanceId: 'b' }).kind).toBe('held');
  expect(
    await startHolder('c').then(async ({ holder, kind, child }) => {
      holder.kill('SIGKILL');
      process.kill(child, 'SIGKILL');
      await holder.exited;
      return kind;
    }),
  ).toBe('held');
  if (first.kind === 'acquired') {
    first.lock.release();
    first.lock.release();
  }
  const second = acquireLock(path, { instanceId: 'b' });
  expect(second.kind).toBe('acquired');
  if (second.kind === 'acquired') second.lock.release();
});

test('is readable by its owner only, and words that a dead holder left are not believed', () => {
  writeFileSync(`${path}.json`, JSON.stringify({ pid: process.pid, start_time: 'long ago', instance_id: 'x' }));
  const umask = process.umask(0);
  const result = acquireLock(path, { instanceId: 'a' });
  process.umask(umask);
  for (const file of [path, `${path}.json`]) expect(statSync(file).mode & 0o777).toBe(0o600);
  for (const words of [
    '',
    'no json',
    '{}',
    JSON.stringify({ pid: process.pid, start_time: 'long ago', instance_id: 'x' }),
  ]) {
    writeFileSync(`${path}.json`, words);
    expect(acquireLock(path, { instanceId: 'b' })).toEqual({ kind: 'held', holder: undefined });
  }
  if (result.kind === 'acquired') result.lock.release();
});

test('a place where no lock can be throws and does not say "held"', () => {
  const missing = (): unknown => acquireLock(join(path, 'missing', 'lock'), { instanceId: 'a' });
  expect(missing).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  writeFileSync(path, 'this is no database, and long enough that its first bytes are read as a header'.repeat(20));
  expect(() => acquireLock(path, { instanceId: 'a' })).toThrow('not a database');
});
