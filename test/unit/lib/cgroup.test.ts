// Limits of control groups, read from trees of real files as the kernel shows them.
import { afterEach, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { readCgroupLimits } from '../../../src/lib/cgroup.ts';

const roots: string[] = [];
afterEach(() => roots.splice(0).forEach((root) => rmSync(root, { recursive: true })));

function tree(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'kubiya-cgroup-'));
  roots.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return root;
}

const fs = 'sys/fs/cgroup';
const gigabyte = 1024 ** 3;

test.each([
  [
    'version 2 in a container',
    { 'proc/self/cgroup': '0::/', [`${fs}/cpu.max`]: '50000 100000', [`${fs}/memory.max`]: String(gigabyte) },
    { cpus: 0.5, memoryBytes: gigabyte },
  ],
  [
    'version 2 without a limit',
    { 'proc/self/cgroup': '0::/', [`${fs}/cpu.max`]: 'max 100000', [`${fs}/memory.max`]: 'max' },
    {},
  ],
  [
    'version 2, where a group around it is tighter',
    {
      'proc/self/cgroup': '0::/kubepods/pod/one',
      [`${fs}/kubepods/pod/cpu.max`]: '150000 100000',
      [`${fs}/kubepods/pod/one/cpu.max`]: '200000 100000',
      [`${fs}/kubepods/pod/one/memory.max`]: 'max',
    },
    { cpus: 1.5 },
  ],
  [
    'version 1 in a container that sees its own group as the root',
    {
      'proc/self/cgroup': '9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc',
      [`${fs}/cpu,cpuacct/cpu.cfs_quota_us`]: '25000',
      [`${fs}/cpu,cpuacct/cpu.cfs_period_us`]: '100000',
      [`${fs}/memory/memory.limit_in_bytes`]: String(2 * gigabyte),
    },
    { cpus: 0.25, memoryBytes: 2 * gigabyte },
  ],
  [
    'version 1 without a limit',
    {
      'proc/self/cgroup': '9:memory:/\n4:cpu:/',
      [`${fs}/cpu/cpu.cfs_quota_us`]: '-1',
      [`${fs}/cpu/cpu.cfs_period_us`]: '100000',
      [`${fs}/memory/memory.limit_in_bytes`]: '9223372036854771712',
    },
    {},
  ],
  ['nonsense', { 'proc/self/cgroup': 'hello\n0::relative\n0::/../..', [`${fs}/cpu.max`]: '' }, {}],
  ['no control groups', {}, {}],
] as const)('%s', (_what, files, limits) => {
  expect(readCgroupLimits(tree(files))).toEqual(limits);
});

test('this machine’s own can be read', () => {
  for (const value of Object.values(readCgroupLimits())) expect(value).toBeGreaterThan(0);
});
