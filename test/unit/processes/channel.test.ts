// The pipe between two processes of ours: questions, parts, stops, failures, and the end of the other side.
import { afterEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubiyaError } from '../../../src/errors.ts';
import { ChannelClosedError, openChannel } from '../../../src/processes/channel.ts';
import { fromWire, toWire } from '../../../src/processes/wire-error.ts';

type Words = {
  readonly add: { readonly value: readonly number[]; readonly answer: number; readonly part: never };
  readonly spell: { readonly value: string; readonly answer: string; readonly part: string };
  readonly fail: { readonly value: null; readonly answer: void; readonly part: never };
  readonly wait: { readonly value: 'throw' | 'answer' | 'never'; readonly answer: string; readonly part: never };
  readonly note: { readonly value: string; readonly answer: void; readonly part: never };
};

/** What the far side could say; it never does. */
type Back = Pick<Words, 'note'>;

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Both ends of a real socket. */
async function socketPair(): Promise<readonly [Socket, Socket]> {
  const directory = mkdtempSync(join(tmpdir(), 'kubiya-channel-'));
  const path = join(directory, 'socket');
  const accepted = new Promise<Socket>((resolve) => {
    const server = createServer((socket) => {
      server.close();
      resolve(socket);
    }).listen(path);
  });
  const near = connect(path);
  const far = await accepted;
  ends.push(() => {
    near.destroy();
    far.destroy();
    rmSync(directory, { recursive: true, force: true });
  });
  return [near, far];
}

async function scene() {
  const [near, far] = await socketPair();
  const notes: string[] = [];
  const aborted: string[] = [];
  openChannel<Words, Back>(far, {
    add: (numbers) => numbers.reduce((sum, number) => sum + number, 0),
    spell: (text, { onPart }) => {
      for (const character of text) onPart(character);
      return text;
    },
    fail: () => {
      const cause = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
      throw new KubiyaError('it failed', { kind: 'network', code: 'made_up', hint: 'wait', isRetryable: true, cause });
    },
    wait: (how, { signal }) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted.push(how);
          if (how === 'throw') reject(new Error('stopped'));
          if (how === 'answer') resolve('stopped in peace');
        });
      }),
    note: (text) => void notes.push(text),
  });
  const channel = openChannel<Back, Words>(near, { note: () => undefined });
  return { near, far, channel, notes, aborted };
}

/** What a promise is rejected with. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => 'it was not rejected',
    (error: unknown) => error,
  );
}

describe('a question', () => {
  test('is answered, several at once and each its own', async () => {
    const { channel } = await scene();
    expect(await Promise.all([channel.ask('add', [1, 2]), channel.ask('add', [3, 4]), channel.ask('add', [])])).toEqual(
      [3, 7, 0],
    );
  });

  test('gets its parts in order and before the answer, whatever their characters', async () => {
    const { channel } = await scene();
    const parts: string[] = [];
    const text = 'añ€😀\n"\\\u2028';
    expect(await channel.ask('spell', text, { onPart: (part) => parts.push(part) })).toBe(text);
    expect(parts).toEqual(Array.from(text));
  });

  test('comes after what was told before it', async () => {
    const { channel, notes } = await scene();
    channel.tell('note', 'first');
    await channel.ask('add', [1]);
    expect(notes).toEqual(['first']);
  });

  test('that fails brings the whole error', async () => {
    const { channel } = await scene();
    const error = await rejection(channel.ask('fail', null));
    expect(error).toBeInstanceOf(KubiyaError);
    expect(error).toMatchObject({
      message: 'it failed',
      kind: 'network',
      code: 'made_up',
      hint: 'wait',
      isRetryable: true,
      cause: { message: 'no space left', code: 'ENOSPC' },
    });
  });

  test('whose signal is aborted stops the other side, and brings its answer or the reason', async () => {
    const { channel, aborted } = await scene();
    const reason = new Error('enough');
    const controller = new AbortController();
    const [answered, thrown] = [
      channel.ask('wait', 'answer', { signal: controller.signal }),
      rejection(channel.ask('wait', 'throw', { signal: controller.signal })),
    ];
    controller.abort(reason);
    expect(await answered).toBe('stopped in peace');
    expect(await thrown).toBe(reason);
    expect(aborted).toEqual(['answer', 'throw']);
    expect(await channel.ask('wait', 'answer', { signal: controller.signal })).toBe('stopped in peace');
  });
});

describe('the end of the other side', () => {
  test('rejects what is open and what is asked later, and silences what is told', async () => {
    const { channel, far } = await scene();
    const open = rejection(channel.ask('wait', 'never'));
    far.destroy();
    await channel.closed;
    expect(await open).toBeInstanceOf(ChannelClosedError);
    expect(await rejection(channel.ask('add', [1]))).toBeInstanceOf(ChannelClosedError);
    expect(() => channel.tell('note', 'nobody hears it')).not.toThrow();
  });

  test('stops what it had asked for', async () => {
    const { channel, near, aborted } = await scene();
    void rejection(channel.ask('wait', 'never'));
    await channel.ask('add', [1]);
    near.destroy();
    for (let look = 0; look < 100 && aborted.length === 0; look += 1) await Bun.sleep(10);
    expect(aborted).toEqual(['never']);
  });

  test('in the middle of a line makes nothing of that line', async () => {
    const [near, far] = await socketPair();
    const notes: string[] = [];
    const channel = openChannel<Words, Back>(far, {
      add: () => 0,
      spell: () => '',
      fail: () => undefined,
      wait: () => '',
      note: (text) => void notes.push(text),
    });
    near.write('{"type":"tell","name":"note","value":"whole"}\n{"type":"tell","name":"note","value":"torn"}');
    near.end();
    await channel.closed;
    expect(notes).toEqual(['whole']);
  });
});

test('an error that refers to itself, and a thrown value that is none, can be sent', () => {
  const error = new Error('round');
  error.cause = error;
  expect(fromWire(JSON.parse(JSON.stringify(toWire(error))) as ReturnType<typeof toWire>).message).toBe('round');
  expect(fromWire(toWire('just words')).message).toBe('just words');
});

test.each(['not JSON', 'null', '{"no":"type"}', '{"type":"tell","name":"nobody"}'])(
  'what no build of ours says closes the pipe and ends nothing else: %s',
  async (line) => {
    const [near, far] = await socketPair();
    const channel = openChannel<Back, Words>(near, { note: () => undefined });
    const answer = channel.ask('wait', 'never');
    far.write(`${line}\n`);
    await expect(answer).rejects.toBeInstanceOf(ChannelClosedError);
  },
);
