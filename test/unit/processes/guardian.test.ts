// What is left of an owner that is killed without a chance: nothing.
import { afterEach, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep } from '../../../src/lib/backoff.ts';
import { createId } from '../../../src/lib/ids.ts';
import { createLineSplitter } from '../../../src/lib/lines.ts';
import { isSameProcess, processesWithMarker, processStartTime, sweepByMarker } from '../../../src/lib/process-tree.ts';
import { baseEnvironment, type ChildHandle, createSpawner } from '../../../src/lib/spawn.ts';
import { startGuardian } from '../../../src/processes/guardian.ts';
import { silentLog } from '../../../src/telemetry/log.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/processes');
const environment = baseEnvironment(process.env);
const testId = createId();
const spawner = createSpawner({ instanceId: testId, onStart: () => undefined, onEnd: () => undefined });

afterEach(() => void sweepByMarker(testId));

async function until(condition: () => boolean, withinMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < withinMs; waitedMs += 20) {
    if (condition()) return true;
    await sleep(20);
  }
  return condition();
}

function firstLine(child: ChildHandle): Promise<string> {
  return new Promise((resolve, reject) => {
    const splitter = createLineSplitter({ lineLengthMax: 1_000, onLine: resolve });
    child.stdout?.on('data', (chunk: Buffer) => splitter.push(chunk));
    child.stdout?.on('end', () => reject(new Error('the owner ended early')));
  });
}

async function startOwner(instanceId: string, directory: string, ending: 'wait' | 'stop'): Promise<ChildHandle> {
  const command = [process.execPath, join(fixtures, 'owner.ts'), instanceId, directory, ending];
  return spawner.start({ command, cwd: '/', environment, stdout: 'pipe', stderr: 2 });
}

/** Waits for it, because a process in the middle of its exec shows no environment; never 0, which as a pid is our group. */
async function guardianOf(instanceId: string, except?: number): Promise<number> {
  const find = (): number | undefined => processesWithMarker(`${instanceId}.guardian`).find((pid) => pid !== except);
  await until(() => find() !== undefined, 2_000);
  const pid = find();
  if (pid === undefined) throw new Error('there is no guardian');
  return pid;
}

/** Living processes of the session that the group leads: also those that a marker cannot find. */
function groupMembers(pgid: number): number {
  const listing = Bun.spawnSync(['ps', '-o', 'pid=,stat=', '-g', String(pgid)]).stdout.toString();
  return listing.split('\n').filter((line) => line.trim() !== '' && !line.includes('Z')).length;
}

describe('guardian', () => {
  test('kill -9 of the owner leaves no process and no directory', async () => {
    const instanceId = createId();
    const directory = mkdtempSync(join(tmpdir(), 'guardian-'));
    writeFileSync(join(directory, 'data'), 'x');
    const owner = await startOwner(instanceId, directory, 'wait');
    const childPid = Number((await firstLine(owner)).split(' ')[1]);
    // sh, sleep, setsid sleep; the one under `env -i` is seen by its group only.
    expect(await until(() => processesWithMarker(instanceId).length === 3, 2_000)).toBe(true);
    expect(await until(() => groupMembers(childPid) >= 3, 2_000)).toBe(true);

    process.kill(owner.pid, 'SIGKILL');
    const isClean = (): boolean =>
      processesWithMarker(instanceId).length === 0 &&
      groupMembers(childPid) === 0 &&
      processesWithMarker(`${instanceId}.guardian`).length === 0 &&
      !existsSync(directory);
    // About 0.2 s; the limit only tells a starved machine from a guardian that does nothing.
    expect(await until(isClean, 10_000)).toBe(true);
  });

  test('signals that a terminal or a service manager sends do not end it', async () => {
    const instanceId = createId();
    const directory = mkdtempSync(join(tmpdir(), 'guardian-'));
    const owner = await startOwner(instanceId, directory, 'wait');
    await firstLine(owner);
    const guardianPid = await guardianOf(instanceId);
    // Its handlers are there once it reads, which a first message to it does not prove: give it its start.
    await sleep(300);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(guardianPid, signal);
    await sleep(100);
    expect(processStartTime(guardianPid)).not.toBeNull();
    process.kill(owner.pid, 'SIGKILL');
    expect(await until(() => processesWithMarker(instanceId).length === 0 && !existsSync(directory), 2_000)).toBe(true);
  });

  test('a dismissed guardian ends and removes nothing', async () => {
    const instanceId = createId();
    const directory = mkdtempSync(join(tmpdir(), 'guardian-'));
    const owner = await startOwner(instanceId, directory, 'stop');
    expect(await owner.exited).toEqual({ code: 0, signal: null });
    expect(processesWithMarker(`${instanceId}.guardian`)).toEqual([]);
    expect(existsSync(directory)).toBe(true);
    sweepByMarker(instanceId);
    rmSync(directory, { recursive: true });
  });

  test('one that is killed is started again once, knows everything, and its second death is reported', async () => {
    const instanceId = createId();
    const lines: string[] = [];
    const log = { ...silentLog, warn: (text: string) => lines.push(text), error: (text: string) => lines.push(text) };
    const guardian = await startGuardian({
      executable: [process.execPath, join(fixtures, 'guardian.ts')],
      instanceId,
      environment,
      log,
    });
    const first = await guardianOf(instanceId);
    const firstStart = processStartTime(first) ?? '';
    process.kill(first, 'SIGKILL');
    const second = await guardianOf(instanceId, first);
    expect(isSameProcess(first, firstStart)).toBe(false);
    process.kill(second, 'SIGKILL');
    expect(await until(() => lines.length === 2, 2_000)).toBe(true);
    expect(lines[1]).toContain('may now leave processes behind');
    // Neither telling it nor stopping it fails afterwards.
    guardian.scope.onStart(99_999_999);
    await guardian.stop();
  });

  test('refuses directories that nobody wants removed', async () => {
    const guardian = await startGuardian({
      executable: [process.execPath, join(fixtures, 'guardian.ts')],
      instanceId: createId(),
      environment,
      log: silentLog,
    });
    for (const path of ['/', '/tmp', 'relative/path', '/tmp/../etc', '/tmp/x\n/y']) {
      expect(() => guardian.removeOnDeath(path)).toThrow('not a directory that a guardian removes');
    }
    await guardian.stop();
  });

  test('rejects when the program cannot be started', async () => {
    const options = { executable: ['/nonexistent/kubiya'], instanceId: createId(), environment, log: silentLog };
    await expect(startGuardian(options)).rejects.toMatchObject({ reason: 'command_not_found' });
  });

  test('a last message without its newline is not obeyed', async () => {
    const bystander = await spawner.start({ command: ['sleep', '300'], cwd: '/', environment });
    const guardian = await spawner.start({
      command: [process.execPath, join(fixtures, 'guardian.ts')],
      cwd: '/',
      environment,
      stdin: { data: `instance ${createId()}\nstart ${bystander.pid}` },
    });
    expect(await guardian.exited).toEqual({ code: 0, signal: null });
    expect(readFileSync(`/proc/${bystander.pid}/stat`, 'utf8')).toContain('sleep');
    await bystander.stop({ graceMs: 1_000 });
  });
});
