// What a running worker answers on its control port, as `kubiya worker status` and its supervisor ask it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import {
  instanceRecordSchema,
  liveStatusSchema,
  type InstanceRecord,
  type LiveStatus,
} from '../../src/protocol/instance.ts';

export function recordOf(directory: string): InstanceRecord {
  return v.parse(instanceRecordSchema, JSON.parse(readFileSync(join(directory, 'daemon_info.json'), 'utf8')));
}

export async function liveStatus({ directory }: { readonly directory: string }): Promise<LiveStatus> {
  const { control } = recordOf(directory);
  if (!control) throw new Error(`the record in ${directory} names no control port`);
  const response = await fetch(`http://127.0.0.1:${control.port}/v1/status`, {
    headers: { authorization: `Bearer ${control.token}` },
  });
  return v.parse(liveStatusSchema, await response.json());
}
