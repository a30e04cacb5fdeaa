// Which process is which, and the end of every process that carries the marker of an instance.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { instanceMarkerName, readCommandOutput } from './spawn.ts';

/** A sweep is repeated because a process may fork while it is read; a round takes 3 ms, and a fork bomb that wins half a second of them wins. */
const sweepRoundsMax = 200;
/** Rounds that must find nothing before a sweep believes it: a process in the middle of its fork or exec shows no environment. */
const emptyRoundsNeeded = 2;

/**
 * An opaque token of when a process started, to compare for equality only; null when there is no such process.
 * On Linux it holds the boot id, because a pid with the same tick may exist again after a reboot.
 */
export function processStartTime(pid: number): string | null {
  if (!Number.isSafeInteger(pid) || pid <= 0) return null;
  if (process.platform === 'linux') return linuxStartTime(pid);
  if (process.platform === 'win32') return windowsStartTime(pid);
  const output = readCommandOutput(['ps', '-o', 'lstart=', '-p', String(pid)]);
  return output === null || output.trim() === '' ? null : output.trim();
}

/** True while the process that had this start time is still there (a zombie counts as gone). */
export function isSameProcess(pid: number, startTime: string): boolean {
  return processStartTime(pid) === startTime;
}

/** In which a pid of ours means something; empty where the system has no such thing. */
export function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    // Not Linux.
    return '';
  }
}

/** The same for every process of this machine until it is started again; its first namespace has the same name on all of them. */
export function machineIdentity(): string {
  return bootId() ?? hostname();
}

/**
 * SIGKILLs every process of this user whose environment holds `KUBIYA_INSTANCE=<instanceId>`, ourselves excepted,
 * until none is found twice in a row. Gives the number of processes that were killed. On Windows it finds nothing.
 * `alsoWith` narrows it to processes that have these `NAME=value` entries as well.
 */
export function sweepByMarker(instanceId: string, alsoWith: readonly string[] = []): number {
  // An empty id would match every child of every instance.
  if (instanceId === '') return 0;
  const killed = new Set<number>();
  let emptyRounds = 0;
  for (let round = 0; round < sweepRoundsMax && emptyRounds < emptyRoundsNeeded; round += 1) {
    const found = processesWithMarker(instanceId, alsoWith);
    emptyRounds = found.length === 0 ? emptyRounds + 1 : 0;
    for (const pid of found) if (killProcess(pid)) killed.add(pid);
  }
  return killed.size;
}

/** The processes that carry the marker of an instance and these `NAME=value` entries, ourselves excepted. */
export function processesWithMarker(instanceId: string, alsoWith: readonly string[] = []): readonly number[] {
  const markers = [`${instanceMarkerName}=${instanceId}`, ...alsoWith];
  if (process.platform === 'linux') return linuxProcessesWith(markers);
  if (process.platform === 'win32') return [];
  return psProcessesWith(markers);
}

function killProcess(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL');
    return true;
  } catch {
    // It ended by itself between the look and the signal.
    return false;
  }
}

function linuxStartTime(pid: number): string | null {
  const stat = readProcFile(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The name (field 2) may hold spaces and parentheses, so fields are counted from the last parenthesis: field 3 is first.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const startTicks = fields[19];
  if (startTicks === undefined || state === 'Z' || state === 'X') return null;
  return `${startTicks}@${bootId() ?? ''}`;
}

function bootId(): string | undefined {
  return readProcFile('/proc/sys/kernel/random/boot_id')?.trim();
}

/** Windows tells a start time only through a shell of half a second: there a pid that exists has to be enough. */
function windowsStartTime(pid: number): string | null {
  try {
    process.kill(pid, 0);
    return 'running';
  } catch {
    return null;
  }
}

function linuxProcessesWith(markers: readonly string[]): readonly number[] {
  const found: number[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid) || pid === process.pid) continue;
    // A zombie's environment reads as empty, so only the living are found.
    const environment = readProcFile(`/proc/${name}/environ`)?.split('\0');
    if (environment !== undefined && markers.every((marker) => environment.includes(marker))) found.push(pid);
  }
  return found;
}

/** macOS and the BSDs: `ps -E` appends the environment to the command, of our own processes only. */
function psProcessesWith(markers: readonly string[]): readonly number[] {
  const output = readCommandOutput(['ps', '-axww', '-E', '-o', 'pid=,command=']) ?? '';
  const found: number[] = [];
  for (const line of output.split('\n')) {
    const pid = Number.parseInt(line, 10);
    const words = line.split(' ');
    const hasAll = markers.every((marker) => words.includes(marker));
    if (Number.isSafeInteger(pid) && pid !== process.pid && hasAll) found.push(pid);
  }
  return found;
}

function readProcFile(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Gone, or another user's: not for us.
    return null;
  }
}
