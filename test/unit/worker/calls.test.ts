// Calls start at most once: the registry and the journal together, with real files and simulated deaths of the worker.
// One file because every case is a registry, its journal and the workers that die over them.
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubiyaError } from '../../../src/errors.ts';
import type { ToolEffect } from '../../../src/protocol/tool.ts';
import {
  createCallRegistry,
  mayStart,
  type CallIdentity,
  type CallOperations,
  type CallRegistry,
} from '../../../src/worker/calls.ts';
import { createJournal, type Journal } from '../../../src/worker/journal.ts';

import { until } from '../../support/until.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kubiya-calls-'));
});
const journals: Journal[] = [];
afterEach(async () => {
  for (const journal of journals.splice(0)) await journal.close();
  rmSync(directory, { recursive: true, force: true });
});

async function openJournal(): Promise<Journal> {
  const journal = await createJournal(directory, Date.now());
  journals.push(journal);
  return journal;
}

const identity = (
  attempt: number,
  effect: ToolEffect | 'model' = 'side_effecting',
  callId = 'e1:1:0',
): CallIdentity => ({ executionId: 'e1', callId, turn: 1, attempt, effect });
const fileOf = (): string => join(directory, 'e1.jsonl');
const unexpected = (error: unknown): never => {
  throw error;
};

/** A worker process: what it has in memory dies with it, the directory stays. */
async function bootWorker(): Promise<{ registry: CallRegistry; journal: Journal }> {
  const journal = await openJournal();
  return { journal, registry: createCallRegistry(journal, { onJournalError: unexpected, runningMax: 100 }) };
}

function operations(work: () => Promise<string>): CallOperations<string> {
  return {
    start: work,
    interrupted: (seen) => `interrupted:${seen}`,
    revive: (recorded) => (typeof recorded === 'string' ? recorded : undefined),
  };
}
const never = (): Promise<string> => Promise.reject(new Error('started a second time'));

describe('one worker', () => {
  test('a second attempt attaches to the call that still runs', async () => {
    const { registry } = await bootWorker();
    let starts = 0;
    const begun = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<string>();
    const work = () => {
      starts++;
      begun.resolve();
      return answer.promise;
    };
    const one = registry.run(identity(1), operations(work));
    // Not the record on disk, which can be read before the call has begun.
    await begun.promise;
    const two = registry.run(identity(2), operations(never));
    answer.resolve('done');
    expect(await Promise.all([one, two])).toEqual(['done', 'done']);
    expect(starts).toBe(1);
    expect(registry.liveCount).toBe(0);
  });

  test('a finished call is answered from the journal', async () => {
    const { registry } = await bootWorker();
    await registry.run(
      identity(1),
      operations(async () => 'done'),
    );
    expect(await registry.run(identity(2), operations(never))).toBe('done');
  });

  test('stop reaches the running call with its reason, and a call that starts later', async () => {
    const { registry } = await bootWorker();
    const stopped = (callId: string) =>
      registry.run(identity(1, 'side_effecting', callId), {
        ...operations(never),
        start: ({ signal }) =>
          new Promise((resolve) =>
            signal.aborted
              ? resolve(String(signal.reason))
              : signal.addEventListener('abort', () => resolve(String(signal.reason))),
          ),
      });
    const running = stopped('e1:1:0');
    await Bun.sleep(20);
    registry.stopAll('drain');
    expect(await running).toBe('drain');
    expect(await stopped('e1:1:1')).toBe('drain');
  });

  test('a model call that failed in passing may be made again and is not counted as paid twice', async () => {
    const { registry } = await bootWorker();
    await registry
      .run(
        identity(1, 'model'),
        operations(() => Promise.reject(new Error('429'))),
      )
      .catch(() => undefined);
    expect(
      await registry.run(
        identity(2, 'model'),
        operations(async () => 'answer'),
      ),
    ).toBe('answer');
    expect(registry.repaidCount).toBe(0);
  });
});

describe('after the worker was killed', () => {
  test.each([
    ['side_effecting', 'interrupted:'],
    ['read_only', 'again'],
    ['idempotent', 'again'],
    ['model', 'again'],
  ] as const)('a %s call that had started gives %s', async (effect, expected) => {
    const killed = await bootWorker();
    void killed.registry.run(
      identity(1, effect),
      operations(() => new Promise(() => undefined)),
    );
    await waitFor('started');
    const { registry } = await bootWorker();
    expect(
      await registry.run(
        identity(2, effect),
        operations(async () => 'again'),
      ),
    ).toBe(expected);
    expect(registry.repaidCount).toBe(effect === 'model' ? 1 : 0);
  });

  test('the output seen before the kill is told', async () => {
    const killed = await bootWorker();
    void killed.registry.run(identity(1), {
      ...operations(never),
      start: ({ onOutput }) => {
        onOutput('half of it');
        return new Promise(() => undefined);
      },
    });
    await waitFor('half of it');
    const { registry } = await bootWorker();
    expect(await registry.run(identity(2), operations(never))).toBe('interrupted:half of it');
  });

  test('the same interrupted result is given on every later attempt', async () => {
    writeFileSync(fileOf(), line('received', { attempt: 1 }) + line('started', {}));
    const { registry } = await bootWorker();
    expect(await registry.run(identity(2), operations(never))).toBe('interrupted:');
    expect(await (await bootWorker()).registry.run(identity(3), operations(never))).toBe('interrupted:');
  });

  test('a torn last line counts as not written, and what follows it is read', async () => {
    writeFileSync(fileOf(), `${line('received', { attempt: 1 })}{"type":"started","call":"e1:1`);
    const { registry } = await bootWorker();
    expect(
      await registry.run(
        identity(2),
        operations(async () => 'first time'),
      ),
    ).toBe('first time');
    expect(await (await bootWorker()).registry.run(identity(3), operations(never))).toBe('first time');
  });
});

test('an attempt that nobody wrote down is harmless only when this journal is proven to be the only one', async () => {
  const unseen: CallIdentity = { ...identity(2), scheduledAtMs: 1_000 };
  const runWith = async (call: CallIdentity, isSole: boolean): Promise<string> => {
    const asked: number[] = [];
    const journal = await openJournal();
    const registry = createCallRegistry(journal, {
      onJournalError: unexpected,
      isSoleJournal: async (sinceMs) => asked.push(sinceMs) > 0 && isSole,
      runningMax: 10,
    });
    const result = await registry.run(
      call,
      operations(async () => 'ran'),
    );
    expect(asked).toEqual(call.scheduledAtMs === undefined ? [] : [call.scheduledAtMs]);
    return result;
  };
  expect(await runWith({ ...unseen, callId: 'e1:1:0' }, false)).toBe('interrupted:');
  expect(await runWith({ ...unseen, callId: 'e1:1:1' }, true)).toBe('ran');
  expect(await runWith({ ...identity(2), callId: 'e1:1:2' }, true)).toBe('interrupted:');
});

test('a call whose preparation failed has not started, and starts once on a later attempt', async () => {
  const run = async (attempt: number, prepare: () => Promise<void>): Promise<string> =>
    (await bootWorker()).registry.run(identity(attempt), { ...operations(async () => 'ran'), prepare });
  const away = run(1, () => Promise.reject(new Error('the control plane is away')));
  expect(await away.catch(String)).toContain('is away');
  expect(await run(2, () => Promise.resolve())).toBe('ran');
  expect(await run(3, () => Promise.reject(new Error('not asked')))).toBe('ran');
});

test('a call that has started is never proven harmless', async () => {
  writeFileSync(fileOf(), line('received', { attempt: 1 }) + line('started', {}));
  const journal = await openJournal();
  const registry = createCallRegistry(journal, {
    onJournalError: unexpected,
    isSoleJournal: () => unexpected(new Error('nobody needs to be asked')),
    runningMax: 10,
  });
  expect(await registry.run({ ...identity(2), scheduledAtMs: 1_000 }, operations(never))).toBe('interrupted:');
});

test('a side-effecting call starts later only if this journal saw every earlier attempt and no start', () => {
  const entry = (attempts: number[], hasStarted: boolean) => ({
    turn: 1,
    attempts: new Set(attempts),
    hasStarted,
    output: '',
  });
  expect(mayStart(identity(1), undefined)).toBe(true);
  expect(mayStart(identity(2), undefined)).toBe(false); // attempt 1 ran on another disk
  expect(mayStart(identity(3), entry([1, 2], false))).toBe(true);
  expect(mayStart(identity(3), entry([2], false))).toBe(false);
  expect(mayStart(identity(2), entry([1], true))).toBe(false);
  expect(mayStart(identity(1), entry([1], true))).toBe(false); // the workflow was reset
});

test('a call that is given to the writer of this journal alone starts unless it has started here', () => {
  const entry = { turn: 1, attempts: new Set([1]), hasStarted: true, output: '' };
  const leased = { ...identity(3), isOursAlone: true };
  expect(mayStart(leased, undefined)).toBe(true);
  expect(mayStart(leased, entry)).toBe(false);
  // Its lease came from a worker that is gone and may have begun it.
  expect(mayStart({ ...leased, mayHaveStarted: true }, undefined)).toBe(false);
  expect(mayStart({ ...leased, effect: 'read_only', mayHaveStarted: true }, entry)).toBe(true);
});

test('what a vanished worker may have begun is interrupted, whatever else could be proven', async () => {
  const registry = createCallRegistry(await openJournal(), {
    onJournalError: unexpected,
    isSoleJournal: () => Promise.resolve(true),
    runningMax: 10,
  });
  const call = { ...identity(1), scheduledAtMs: 1_000, isOursAlone: true, mayHaveStarted: true };
  expect(await registry.run(call, operations(never))).toBe('interrupted:');
});

test('a call that nobody waits for any more is not begun; a later attempt that attaches answers for it', async () => {
  const run = async (newest: boolean | undefined): Promise<string> => {
    const { registry } = await bootWorker();
    const prepared = Promise.withResolvers<void>();
    const first = registry.run(identity(1), {
      ...operations(async () => 'ran'),
      prepare: () => prepared.promise,
      mayBegin: () => false,
    });
    if (newest !== undefined)
      void registry.run(identity(2), { ...operations(never), mayBegin: () => newest }).catch(() => undefined);
    prepared.resolve();
    return await first.catch(String);
  };
  expect(await run(undefined)).toContain('given up');
  expect(await run(false)).toContain('given up');
  // It has never started, so it may now.
  expect(await run(true)).toBe('ran');
});

describe('more calls than may run', () => {
  const start = async (runningMax: number) => {
    const registry = createCallRegistry(await openJournal(), { onJournalError: unexpected, runningMax });
    const started: string[] = [];
    const ends = new Map<string, () => void>();
    const run = (callId: string): Promise<string> =>
      registry.run(identity(1, 'side_effecting', callId), {
        ...operations(never),
        start: ({ signal }) => {
          started.push(callId);
          if (signal.aborted) return Promise.resolve(String(signal.reason));
          return new Promise((resolve) => ends.set(callId, () => resolve(callId)));
        },
      });
    return { registry, started, run, end: (callId: string) => ends.get(callId)?.() };
  };

  test('wait for their turn, each in its order, and an attempt that attaches needs none', async () => {
    const { started, run, end } = await start(2);
    const all = [run('a'), run('b'), run('c'), run('d')];
    const again = run('a');
    await until(() => started.length === 2);
    await Bun.sleep(20);
    expect(started.toSorted()).toEqual(['a', 'b']);
    end('b');
    await until(() => started.length === 3);
    end('a');
    await until(() => started.length === 4);
    expect(started.slice(2)).toEqual(['c', 'd']);
    end('c');
    end('d');
    expect(await Promise.all([...all, again])).toEqual(['a', 'b', 'c', 'd', 'a']);
    // Nothing is left behind: as many as before may run.
    const later = [run('e'), run('f'), run('g')];
    await until(() => started.length === 6);
    ['e', 'f'].forEach(end);
    await until(() => started.length === 7);
    end('g');
    await Promise.all(later);
  });

  test('one that waits is cancelled without its turn, and left to another worker by a drain', async () => {
    const { registry, started, run, end } = await start(1);
    const first = run('a');
    await until(() => started.length === 1);
    const [cancelled, drained] = [run('b'), run('c')];
    await Bun.sleep(20);
    registry.stop('b', 'cancelled');
    expect(await cancelled).toBe('cancelled');
    registry.stop('c', 'drain');
    expect(await drained.catch(String)).toContain('stops before the call has begun');
    expect(started).toEqual(['a', 'b']);
    end('a');
    expect(await first).toBe('a');
    const next = run('d');
    await until(() => started.includes('d'));
    end('d');
    expect(await next).toBe('d');
  });
});

describe('journal', () => {
  test('calls that start side by side in a long journal all keep their records', async () => {
    const big = 'x'.repeat(1_000_000);
    for (let index = 0; index < 5; index++) {
      appendFileSync(fileOf(), line('finished', { call: `e1:0:${index}`, turn: 0, result: big }));
    }
    const { registry } = await bootWorker();
    const ids = Array.from({ length: 8 }, (_, index) => `e1:1:${index}`);
    const runs = ids.map((id) =>
      registry.run(
        identity(1, 'read_only', id),
        operations(async () => id),
      ),
    );
    expect(await Promise.all(runs)).toEqual(ids);
    const { registry: next } = await bootWorker();
    expect(await Promise.all(ids.map((id) => next.run(identity(2, 'read_only', id), operations(never))))).toEqual(ids);
    expect(readFileSync(fileOf()).length).toBeLessThan(1_000_000);
  });

  test('files of executions that end elsewhere do not stay open for ever, and a late record still arrives', async () => {
    const descriptors = (): number =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
        } catch {
          return false;
        }
      }).length;
    const journal = await openJournal();
    const first = await journal.open('first');
    for (let index = 0; index < 260; index++) await journal.open(`other-${index}`);
    expect(descriptors()).toBeLessThanOrEqual(200);
    await first.append([{ type: 'received', call: 'c', turn: 1, attempt: 1, at: '' }], { isSynced: false });
    expect((await journal.open('first')).entry('c')?.attempts.has(1)).toBe(true);
    await first.close();
  });

  test('a clock that is years ahead at the start does not make young records old', async () => {
    writeFileSync(fileOf(), line('received', { attempt: 1 }) + line('started', {}));
    const journal = await createJournal(directory, Date.now() + 3 * 365 * 86_400_000);
    journals.push(journal);
    expect((await journal.open('e1')).entry('e1:1:0')?.hasStarted).toBe(true);
  });

  test('a directory that cannot be written stops the call before it starts, with one sentence', async () => {
    const { registry, journal } = await bootWorker();
    await journal.close();
    rmSync(directory, { recursive: true });
    const error = await registry.run(identity(1), operations(never)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(KubiyaError);
    expect(error).toMatchObject({ code: 'journal_unwritable', kind: 'configuration' });
  });

  test('an execution id cannot name a path', async () => {
    const journal = await openJournal();
    await (
      await journal.open('../../etc/passwd')
    ).append([{ type: 'received', call: 'c', turn: 1, attempt: 1, at: '' }], { isSynced: true });
    expect([...new Bun.Glob('*').scanSync(directory)]).toHaveLength(1);
  });

  test('foreign lines are skipped, files are owner-only', async () => {
    writeFileSync(fileOf(), 'not json\n{"type":"unknown"}\n\0\0\n');
    const { registry } = await bootWorker();
    expect(
      await registry.run(
        identity(1),
        operations(async () => 'ok'),
      ),
    ).toBe('ok');
    appendFileSync(join(directory, 'note.txt'), 'left alone');
    expect(readFileSync(join(directory, 'note.txt'), 'utf8')).toBe('left alone');
  });

  test('grows no further than a turn needs once Temporal has the earlier ones', async () => {
    const { registry } = await bootWorker();
    for (let turn = 1; turn <= 30; turn++) {
      await registry.run(
        { ...identity(1), callId: `e1:${turn}:0`, turn },
        operations(async () => 'x'.repeat(400_000)),
      );
    }
    expect(Bun.file(fileOf()).size).toBeLessThan(6_000_000);
    expect(
      await (await bootWorker()).registry.run({ ...identity(2), callId: 'e1:30:0', turn: 30 }, operations(never)),
    ).toHaveLength(400_000);
  });
});

function line(type: string, fields: Record<string, unknown>): string {
  return `${JSON.stringify({ type, call: 'e1:1:0', turn: 1, at: '2026-01-01T00:00:00.000Z', ...fields })}\n`;
}

async function waitFor(text: string): Promise<void> {
  for (let waited = 0; waited < 200; waited++) {
    if (readFileSync(fileOf(), { encoding: 'utf8', flag: 'a+' }).includes(text)) return;
    await Bun.sleep(10);
  }
  throw new Error(`the journal never said ${text}`);
}
