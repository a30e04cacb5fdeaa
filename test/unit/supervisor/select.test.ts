// Which worker a command means: by whichever name it was started, and never a directory that is not ours.
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubiyaError } from '../../../src/errors.ts';
import type { InstanceRecord } from '../../../src/protocol/instance.ts';
import { ownIdentity, writeInstance } from '../../../src/supervisor/instance.ts';
import { listWorkerPlaces, selectWorkerPlace } from '../../../src/supervisor/select.ts';

let workers: string;
beforeEach(() => {
  workers = mkdtempSync(join(tmpdir(), 'kubiya-select-'));
});
afterEach(() => rmSync(workers, { recursive: true, force: true }));

function place(name: string, changes: Partial<InstanceRecord> = {}): void {
  const directory = join(workers, name);
  mkdirSync(directory, { recursive: true });
  writeInstance(directory, {
    instance_id: `instance-${name}`,
    ...ownIdentity(),
    version: '1.0.0',
    mode: 'foreground',
    queue: name,
    queue_id: `id-of-${name}`,
    queue_name: name,
    worker_id: null,
    directory,
    log_file: join(directory, 'logs/worker.log'),
    control_plane_url: '',
    web_url: null,
    ports: {},
    started_at: '2026-11-24T10:00:00.000Z',
    stopped_at: '2026-11-24T11:00:00.000Z',
    stop_reason: 'stopped',
    ...changes,
  });
}

const select = (typed?: string): string => selectWorkerPlace(workers, typed).queue;
function refusal(typed?: string): Pick<KubiyaError, 'code' | 'exitCode' | 'message' | 'hint'> {
  try {
    select(typed);
  } catch (error) {
    if (error instanceof KubiyaError) return error;
  }
  throw new Error('it was not refused');
}

describe('a worker is found', () => {
  test('by its name and its id, whichever it was started by', () => {
    place('by-name');
    place('0000-id', { queue_id: '0000-id', queue_name: 'other' });
    expect(['by-name', 'id-of-by-name', '0000-id', 'other'].map(select)).toEqual([
      'by-name',
      'by-name',
      '0000-id',
      '0000-id',
    ]);
  });

  test('without a name when it is the only one, or the only one that runs', () => {
    place('old');
    expect(select()).toBe('old');
    place('new', { stopped_at: null });
    expect(select()).toBe('new');
  });

  test('of two places of one queue where it runs, else where it ran last', () => {
    place('mine', { queue_id: 'q', started_at: '2026-11-24T10:00:00.000Z' });
    place('q', { queue_id: 'q', queue_name: 'mine', started_at: '2026-11-24T12:00:00.000Z' });
    expect([select('mine'), select('q')]).toEqual(['q', 'q']);
    place('mine', { queue_id: 'q', stopped_at: null });
    expect([select('mine'), select('q')]).toEqual(['mine', 'mine']);
  });
});

describe('it is refused', () => {
  test('for several, with their names', () => {
    place('a');
    place('b');
    expect(refusal()).toMatchObject({
      code: 'worker_ambiguous',
      exitCode: 2,
      message: expect.stringContaining('a, b'),
    });
  });

  test('for none, with what is known here', () => {
    expect(refusal()).toMatchObject({ code: 'worker_not_found', exitCode: 4 });
    place('a');
    expect(refusal('b')).toMatchObject({
      code: 'worker_not_found',
      exitCode: 4,
      hint: expect.stringContaining('known here: a'),
    });
    // Nobody's id is empty.
    place('fresh', { queue_id: '' });
    expect(refusal('').code).toBe('worker_not_found');
  });

  test('for a directory without a record of ours', () => {
    mkdirSync(join(workers, 'stranger'));
    writeFileSync(join(workers, 'stranger/daemon_info.json'), '{"pid": 1}');
    writeFileSync(join(workers, 'stranger/supervisor.json'), 'torn {');
    expect(listWorkerPlaces(workers)).toEqual([]);
    expect(listWorkerPlaces(join(workers, 'missing'))).toEqual([]);
    expect(refusal('stranger').code).toBe('worker_not_found');
  });
});
