// The record that a running worker keeps on disk for other programs: daemon_info.json and worker.pid.
import * as v from 'valibot';

const text = v.string();
const pid = v.pipe(v.number(), v.integer(), v.minValue(1));

export const instanceRecordSchema = v.object({
  /** Of the marker that every child of this instance carries. */
  instance_id: v.pipe(text, v.minLength(1)),
  pid,
  /** Opaque (lib/process-tree.ts): tells this process from a later one with the same pid. */
  start_time: text,
  /** The pid means something only in there; empty where the system has no such thing. */
  pid_namespace: text,
  version: text,
  mode: v.picklist(['foreground', 'daemon']),
  /** As the user typed it, and as the control plane knows it. */
  queue: text,
  queue_id: text,
  worker_id: v.nullable(text),
  directory: text,
  log_file: text,
  control_plane_url: text,
  web_url: v.nullable(text),
  /** What listens where: `web`, `metrics`, `gateway`. */
  ports: v.record(text, v.number()),
  /** ISO 8601. */
  started_at: text,
  stopped_at: v.nullable(text),
  /** One sentence; `vanished` ends are found by the next start. */
  stop_reason: v.nullable(text),
});
export type InstanceRecord = v.InferOutput<typeof instanceRecordSchema>;
