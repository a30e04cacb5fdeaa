// A running worker's record on disk, and the end of what an instance left behind when it vanished.
import { appendFileSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { errnoOf } from '../errors.ts';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { killGroup } from '../lib/kill-group.ts';
import { isSameProcess, pidNamespace, processStartTime, sweepByMarker } from '../lib/process-tree.ts';
import { shellWord } from '../lib/text.ts';
import { type InstanceRecord, instanceRecordSchema } from '../protocol/instance.ts';

const recordFileName = 'daemon_info.json';
const pidFileName = 'worker.pid';
const textFileName = 'daemon_info.txt';
/** Of the instance's own process, and of the Node process that hosts its Temporal side (`--runtime node`): one writer each. */
const groupsFileNames = ['groups', 'groups.node'] as const;
type GroupsFileName = (typeof groupsFileNames)[number];

/** What identifies the calling process in its record. */
export function ownIdentity(): Pick<InstanceRecord, 'pid' | 'start_time' | 'pid_namespace'> {
  return { pid: process.pid, start_time: processStartTime(process.pid) ?? '', pid_namespace: pidNamespace() };
}

/** Writes daemon_info.json and worker.pid for programs and daemon_info.txt for people. Throws the system's error. */
export function writeInstance(directory: string, record: InstanceRecord): void {
  const json = `${JSON.stringify(record, null, 2)}\n`;
  writeFileAtomic(join(directory, textFileName), infoText(record));
  writeFileAtomic(join(directory, pidFileName), json);
  writeFileAtomic(join(directory, recordFileName), json);
}

/** The record of a queue's directory; null when there is none or it is not one of ours. */
export function readInstance(directory: string): InstanceRecord | null {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(join(directory, recordFileName), 'utf8'));
  } catch {
    // No file, not readable, or half of an older version's: no record either way.
    return null;
  }
  const parsed = v.safeParse(instanceRecordSchema, content);
  return parsed.success ? parsed.output : null;
}

/** Says in the record that the instance has ended; worker.pid goes, because it would name a stranger. */
export function markStopped(directory: string, record: InstanceRecord, reason: string): void {
  const stopped = { ...record, stopped_at: new Date().toISOString(), stop_reason: reason };
  writeFileAtomic(join(directory, textFileName), infoText(stopped));
  writeFileAtomic(join(directory, recordFileName), `${JSON.stringify(stopped, null, 2)}\n`);
  rmSync(join(directory, pidFileName), { force: true });
}

/** Takes a record away as if it had never been. */
export function removeInstance(directory: string): void {
  for (const name of [recordFileName, pidFileName, textFileName, ...groupsFileNames])
    rmSync(join(directory, name), { force: true });
}

/** True while the process that wrote the record runs. Of a record from another container it is not known: false. */
export function isAlive(record: RecordedProcess): boolean {
  return ownerState(record) === 'alive';
}

/** What a record tells about its process; a supervisor's record has it as well. */
type RecordedProcess = Pick<InstanceRecord, 'pid' | 'start_time' | 'pid_namespace' | 'stopped_at'>;

export type OwnerState = 'alive' | 'gone' | 'elsewhere'; // a container shares the directory: its pids mean nothing here, its processes are not ours to kill

export function ownerState(record: RecordedProcess): OwnerState {
  if (record.stopped_at !== null) return 'gone';
  if (record.pid_namespace !== pidNamespace()) return 'elsewhere';
  return isSameProcess(record.pid, record.start_time) ? 'alive' : 'gone';
}

/** Kills what dead instances left running and marks their records; gives those records. One bad directory stops no other. */
export function sweepDeadInstances(workersDirectory: string): readonly InstanceRecord[] {
  const swept: InstanceRecord[] = [];
  for (const directory of subdirectories(workersDirectory)) {
    const record = readInstance(directory);
    if (record === null || record.stopped_at !== null || ownerState(record) !== 'gone') continue;
    for (const name of groupsFileNames) killRecordedGroups(directory, name);
    sweepByMarker(record.instance_id);
    try {
      // A new worker of this queue may have written its own record meanwhile.
      if (readInstance(directory)?.instance_id !== record.instance_id) continue;
      for (const name of groupsFileNames) rmSync(join(directory, name), { force: true });
      markStopped(directory, record, 'vanished');
    } catch {
      // A full or read-only disk: nothing of it runs any more, and the next start finds the record again.
    }
    swept.push(record);
  }
  return swept;
}

/** None when the directory is not there. */
export function subdirectories(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(path, entry.name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** The groups of an instance that run, on disk, for the case that instance and guardian vanish together. Never throws. */
export interface GroupRecord {
  onStart(pgid: number): void;
  onEnd(pgid: number): void;
}

/** About a thousand entries: then the file is started anew as soon as no group runs. */
const groupsFileBytesMax = 64 * 1024;

export function createGroupRecord(directory: string, name: GroupsFileName = 'groups'): GroupRecord {
  const path = join(directory, name);
  const running = new Set<number>();
  let bytes = 0;
  const append = (line: string): void => {
    try {
      if (running.size === 0 && bytes > groupsFileBytesMax) {
        truncateSync(path);
        bytes = 0;
      }
      appendFileSync(path, line, { mode: 0o600 });
      bytes += line.length;
    } catch {
      // A full disk costs this line of defence; guardian and marker are the others.
    }
  };
  return {
    onStart: (pgid) => {
      append(`start ${pgid} ${processStartTime(pgid) ?? '-'}\n`);
      running.add(pgid);
    },
    onEnd: (pgid) => {
      running.delete(pgid);
      append(`end ${pgid}\n`);
    },
  };
}

interface RunningGroup {
  readonly pgid: number;
  /** Of the leader: a group is killed only while its leader is the one that was recorded. */
  readonly startTime: string;
}

/** Kills what the record says still runs, each only while its leader is the one that was recorded. */
export function killRecordedGroups(directory: string, name: GroupsFileName): void {
  for (const { pgid, startTime } of readGroups(directory, name)) {
    if (isSameProcess(pgid, startTime)) killGroup(pgid, 'SIGKILL');
  }
}

function readGroups(directory: string, name: GroupsFileName): readonly RunningGroup[] {
  let content: string;
  try {
    content = readFileSync(join(directory, name), 'utf8');
  } catch {
    // None was ever started.
    return [];
  }
  const groups = new Map<number, RunningGroup>();
  for (const line of content.split('\n')) {
    const [, word, number, startTime = ''] = /^(start|end) (\d+)(?: (.+))?$/.exec(line) ?? [];
    const pgid = Number(number);
    if (word === 'start') groups.set(pgid, { pgid, startTime });
    if (word === 'end') groups.delete(pgid);
  }
  return [...groups.values()];
}

function infoText(record: InstanceRecord): string {
  const rows: readonly (readonly [string, string | null])[] = [
    ['queue', record.queue === record.queue_id ? record.queue : `${record.queue} (${record.queue_id})`],
    ['worker', record.worker_id],
    ['pid', String(record.pid)],
    ['mode', record.mode],
    ['version', record.version],
    ['started at', record.started_at],
    ['stopped at', record.stopped_at === null ? null : `${record.stopped_at} (${record.stop_reason ?? 'stopped'})`],
    ['control plane', record.control_plane_url],
    ['directory', record.directory],
    ['log file', record.log_file],
    ['WebUI', record.web_url],
    [
      'ports',
      Object.entries(record.ports)
        .map(([name, port]) => `${name} ${port}`)
        .join(', ') || null,
    ],
    ['follow the log', `tail -F ${shellWord(record.log_file)}`],
    ['see how it is', record.stopped_at === null ? `kubiya worker status --queue-id ${shellWord(record.queue)}` : null],
    ['stop it', record.stopped_at === null ? `kubiya worker stop --queue-id ${shellWord(record.queue)}` : null],
  ];
  const lines = rows.flatMap(([name, value]) => (value === null ? [] : [`${`${name}:`.padEnd(16)}${value}\n`]));
  return `Kubiya worker ${record.stopped_at === null ? 'is running' : 'is stopped'}\n\n${lines.join('')}`;
}
