// Which worker of this machine a command means: by the queue's id or name, or the only one here.
import { KubiyaError } from '../errors.ts';
import { shellWord } from '../lib/text.ts';
import { ephemeralQueuePrefix, type InstanceRecord, type SupervisorRecord } from '../protocol/instance.ts';
import { isAlive, readInstance, subdirectories } from './instance.ts';
import { readSupervisor } from './supervisor-record.ts';

/** A directory below `workers/` that a worker of ours has used; at least one of the records is there. */
export interface InstancePlace {
  readonly directory: string;
  /** As the user typed it at the start. */
  readonly queue: string;
  /** The worker's own record. */
  readonly record: InstanceRecord | null;
  readonly supervisor: SupervisorRecord | null;
}

/** Every place with a record of ours, by queue. A directory without one is no queue, and one of an `exec --local` is that command's own business. */
export function listWorkerPlaces(workersDirectory: string): readonly InstancePlace[] {
  return subdirectories(workersDirectory)
    .flatMap((directory) => {
      const place = readPlace(directory);
      return place === undefined || place.queue.startsWith(ephemeralQueuePrefix) ? [] : [place];
    })
    .toSorted((a, b) => a.queue.localeCompare(b.queue));
}

/** Undefined when no worker of ours has been there. */
export function readPlace(directory: string): InstancePlace | undefined {
  const record = readInstance(directory);
  const supervisor = readSupervisor(directory);
  const queue = record?.queue ?? supervisor?.queue;
  return queue === undefined ? undefined : { directory, queue, record, supervisor };
}

/** True while the worker or its supervisor runs on this machine. */
export function isPlaceAlive({ record, supervisor }: InstancePlace): boolean {
  return (record !== null && isAlive(record)) || (supervisor !== null && isAlive(supervisor));
}

/**
 * The place that `typed` means (an id or a name, of whichever the worker was started by), or without it the only one, or the
 * only one where something runs. Throws a KubiyaError for none and for several.
 */
export function selectWorkerPlace(workersDirectory: string, typed: string | undefined): InstancePlace {
  const places = listWorkerPlaces(workersDirectory);
  const meant = typed === undefined ? places : places.filter((place) => namesOf(place).has(typed));
  const running = meant.filter(isPlaceAlive);
  const [first, ...others] = running.length > 0 ? running : meant;
  if (first === undefined) throw noWorker(typed, places);
  if (others.length === 0) return first;
  // One queue, started by its name and by its id at different times: the last one has the news.
  if (typed !== undefined)
    return [first, ...others].toSorted((a, b) => startedAt(b).localeCompare(startedAt(a)))[0] ?? first;
  const names = [first, ...others].map(({ queue }) => queue).join(', ');
  throw new KubiyaError(`there are several workers on this machine: ${names}`, {
    kind: 'usage',
    code: 'worker_ambiguous',
    hint: 'name one with --queue-id; `kubiya worker list` shows them',
  });
}

/** What a queue may be called by: as it was typed, its id, its name. */
export function namesOf({ queue, record, supervisor }: InstancePlace): ReadonlySet<string> {
  return new Set(
    [queue, record?.queue_id, record?.queue_name, supervisor?.queue_id, supervisor?.queue_name].flatMap((name) =>
      name === undefined || name === '' ? [] : [name],
    ),
  );
}

function startedAt({ record, supervisor }: InstancePlace): string {
  return [record?.started_at ?? '', supervisor?.started_at ?? ''].toSorted().at(-1) ?? '';
}

function noWorker(typed: string | undefined, places: readonly InstancePlace[]): KubiyaError {
  const known = places.length === 0 ? '' : `; known here: ${places.map(({ queue }) => queue).join(', ')}`;
  const start = `start one with \`kubiya worker start --queue-id ${typed === undefined ? '<queue>' : shellWord(typed)} -d\``;
  return new KubiyaError(
    typed === undefined
      ? 'there is no worker on this machine'
      : `no worker of the queue ${typed} has run on this machine`,
    {
      kind: 'api_refused',
      code: 'worker_not_found',
      hint: `${start}${known}`,
    },
  );
}
