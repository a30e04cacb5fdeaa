// A worker's record on disk, from its start to its end.
import { existsSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import type { WorkerPaths } from '../config/paths.ts';
import type { ControlAddress, InstanceRecord } from '../protocol/instance.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { markStopped, ownIdentity, readInstance, removeInstance, writeInstance } from '../supervisor/instance.ts';
import { version } from '../version.ts';
import type { InstanceScope } from './instance-scope.ts';
import type { Teardown } from './teardown.ts';
import type { WorkerHttp } from './worker-http.ts';

export interface RecordParts {
  readonly config: Config;
  readonly place: WorkerPaths;
  readonly scope: InstanceScope;
  readonly http: WorkerHttp;
  readonly queue: string;
}

/** The worker's record on disk, from the start on; its end is written by the teardown. */
export interface KeptRecord {
  now(): InstanceRecord & { readonly control: ControlAddress };
  /** Never throws: a full disk costs the news, not the worker. */
  update(changes: Partial<InstanceRecord>): void;
  /** How the worker ends, for the record. */
  ending(end: { readonly reason: string; readonly drained: Drained | undefined }): void;
}

export type Drained = NonNullable<InstanceRecord['drained']>;

/** How often it is looked whether the record is still there. */
const checkMs = 3_000;

export function keepRecord({ config, place, scope, http, queue }: RecordParts, teardown: Teardown): KeptRecord {
  let record: InstanceRecord & { readonly control: ControlAddress } = {
    ...ownIdentity(),
    instance_id: scope.instanceId,
    version,
    mode: config.supervisedBy === undefined ? 'foreground' : 'daemon',
    queue,
    queue_id: '',
    worker_id: null,
    directory: place.directory,
    log_file: place.logFile,
    log_bytes_max: config.log.fileBytesMax,
    log_backups_max: config.log.backupsMax,
    control_plane_url: config.controlPlane.url,
    web_url: http.webUrl ?? null,
    ports: {
      ...(http.webPort === undefined ? {} : { web: http.webPort }),
      ...(http.metricsPort === undefined ? {} : { metrics: http.metricsPort }),
    },
    control: http.control,
    started_at: new Date().toISOString(),
    stopped_at: null,
    stop_reason: null,
  };
  // A start that fails on a queue that never had a worker here leaves no worker that `list` would show.
  const isNew = readInstance(place.directory) === null;
  writeInstance(place.directory, record);
  let reason = 'it could not start';
  // What a full disk, a removed directory or somebody else's hand took is put back, or nobody could find this worker any more.
  let isWritten = true;
  const write = (): void => {
    try {
      ensureSecureDirectory(place.directory);
      writeInstance(place.directory, record);
      isWritten = true;
    } catch {
      isWritten = false;
    }
  };
  const check = setInterval(() => {
    if (!isWritten || readInstance(place.directory) === null) write();
  }, checkMs);
  teardown.add('record of the worker', 1_000, () => {
    clearInterval(check);
    if (isNew && record.worker_id === null) removeInstance(place.directory);
    else if (existsSync(place.directory)) markStopped(place.directory, record, reason);
  });
  const update = (changes: Partial<InstanceRecord>): void => {
    record = { ...record, ...changes, control: record.control };
    write();
  };
  return {
    now: () => record,
    update,
    ending: ({ reason: last, drained }) => {
      reason = last;
      if (drained !== undefined) update({ drained });
    },
  };
}
