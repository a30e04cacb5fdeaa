// A worker's record on disk, from its start to its end.
import { existsSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import type { WorkerPaths } from '../config/paths.ts';
import type { InstanceRecord } from '../protocol/instance.ts';
import { markStopped, ownIdentity, writeInstance } from '../supervisor/instance.ts';
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
  update(changes: Partial<InstanceRecord>): void;
  /** Why the worker ends, for the record. */
  reason: string;
}

export function keepRecord({ config, place, scope, http, queue }: RecordParts, teardown: Teardown): KeptRecord {
  let record: InstanceRecord = {
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
    ports: http.webPort === undefined ? {} : { web: http.webPort },
    control: http.control,
    started_at: new Date().toISOString(),
    stopped_at: null,
    stop_reason: null,
  };
  writeInstance(place.directory, record);
  const kept: KeptRecord = {
    reason: 'stopped',
    update: (changes) => {
      record = { ...record, ...changes };
      writeInstance(place.directory, record);
    },
  };
  teardown.add('record of the worker', 1_000, () => {
    if (existsSync(place.directory)) markStopped(place.directory, record, kept.reason);
  });
  return kept;
}
