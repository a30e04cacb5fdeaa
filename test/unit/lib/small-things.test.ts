// Durations, lines, bounded text, queues and waits: by tables and by properties.
import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { backoffDelayMs, sleep } from '../../../src/lib/backoff.ts';
import { createBoundedQueue } from '../../../src/lib/bounded-queue.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { formatDuration, parseDuration } from '../../../src/lib/duration.ts';
import { createLineSplitter } from '../../../src/lib/lines.ts';
import { createOutputBuffer, cutHead, cutTail } from '../../../src/lib/text.ts';

/** The bytes of `text` in pieces of the given sizes, over and over. */
function* pieces(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let start = 0, turn = 0; start < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(start, start + size);
    start += size;
  }
}
const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 });

describe('durations', () => {
  test.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    [' 10S ', 10_000],
    ['0', 0],
    ['0s', 0],
  ])('%p is %p ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });
  test.each(['', '30', '-5s', '5 s', 's', '1e3s', '5x', '.5s', '5.s', '1h-30m', '99999999999999999d', '\u0665s'])(
    '%p is no duration',
    (text) => {
      expect(parseDuration(text)).toBeNull();
    },
  );
  test.each([
    [0, '0ms'],
    [850, '850ms'],
    [999.6, '1s'],
    [4_249, '4.2s'],
    [59_960, '1m'],
    [725_000, '12m5s'],
    [10_800_000, '3h'],
    [90_061_000, '1d1h1m1s'],
    [-5, '0ms'],
  ])('%p ms is shown as %p', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
  test('what is shown can be read back, within the digits shown', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 10 }), (ms) => {
        const back = parseDuration(formatDuration(ms)) ?? Number.NaN;
        expect(Math.abs(back - ms)).toBeLessThanOrEqual(ms < 60_000 ? 50 : 500);
      }),
    );
  });
});

describe('lines', () => {
  const split = (chunks: Iterable<Uint8Array | string>, lineLengthMax = 1_000): (readonly [string, boolean])[] => {
    const lines: (readonly [string, boolean])[] = [];
    const splitter = createLineSplitter({ lineLengthMax, onLine: (...line) => void lines.push(line) });
    for (const chunk of chunks) splitter.push(chunk);
    splitter.flush();
    return lines;
  };

  test('any split of the bytes gives the same lines', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), sizes, (parts, sizes) => {
        const lines = parts.map((part) => part.replaceAll(/[\n\r\uFEFF]/g, ' '));
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        expect(split(pieces(bytes, sizes)).map(([line]) => line)).toEqual(lines);
      }),
    );
  });
  test('takes CRLF, empty lines and a last line without newline', () => {
    expect(split(['a\r', '\n\nb\rc', '\nend'])).toEqual([
      ['a', false],
      ['', false],
      ['b\rc', false],
      ['end', false],
    ]);
    expect(split([])).toEqual([]);
    expect(split(['a\n'])).toEqual([['a', false]]);
  });
  test('a line that is too long is cut and marked, the next one is whole', () => {
    expect(split(['abc', 'def', 'ghi\nxyz\n', 'abcdefg'], 5)).toEqual([
      ['abcde', true],
      ['xyz', false],
      ['abcde', true],
    ]);
  });
  test('half a character at the end becomes the replacement character', () => {
    expect(split([new Uint8Array([0x61, 0xe2, 0x82])])).toEqual([['a\uFFFD', false]]);
  });
});

describe('output buffer', () => {
  const fill = (bytes: Uint8Array, bytesMax: number, sizes: readonly number[]) => {
    const buffer = createOutputBuffer({ bytesMax });
    for (const piece of pieces(bytes, sizes)) buffer.push(piece);
    return buffer;
  };

  test('what fits comes back as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), sizes, (text, sizes) => {
        const bytes = Buffer.from(text);
        const buffer = fill(bytes, bytes.length, sizes);
        expect(buffer.text()).toBe(bytes.toString().replaceAll('\0', ''));
        expect(buffer).toMatchObject({ isTruncated: false, bytesTotal: bytes.length });
      }),
    );
  });
  test('what does not fit keeps its head and its tail, whole characters, within the limit', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 1 }),
        fc.nat({ max: 40 }),
        sizes,
        (text, bytesMax, sizes) => {
          const bytes = Buffer.from(text);
          fc.pre(bytes.length > bytesMax && !text.includes('\0'));
          const buffer = fill(bytes, bytesMax, sizes);
          const parts = buffer.text().split(`\n[… ${bytes.length - bytesMax} bytes left out …]\n`);
          expect(parts).toHaveLength(2);
          const [head = '', tail = ''] = parts;
          expect(text.startsWith(head)).toBe(true);
          expect(text.endsWith(tail)).toBe(true);
          expect(Buffer.byteLength(head + tail)).toBeLessThanOrEqual(bytesMax);
          expect(Buffer.byteLength(head + tail)).toBeGreaterThan(bytesMax - 8);
          expect(buffer.isTruncated).toBe(true);
        },
      ),
    );
  });
  test('bytes that are no text stay within the limit too', () => {
    const text = fill(new Uint8Array(10_000).fill(0xff), 1_000, [64]).text();
    expect(Buffer.byteLength(text)).toBeLessThan(1_100);
    const fitting = fill(new Uint8Array(1_000).fill(0xff), 1_000, [64]).text();
    expect(Buffer.byteLength(fitting)).toBeLessThanOrEqual(1_000);
  });
  test('100 MB are counted, and the chunk may be reused', () => {
    const buffer = createOutputBuffer({ bytesMax: 30_000 });
    const chunk = Buffer.alloc(1_000_000, 'x');
    buffer.push('start ');
    for (let count = 0; count < 100; count += 1) buffer.push(chunk);
    chunk.fill('z');
    buffer.push(' end');
    const text = buffer.text();
    expect(text).toStartWith('start xxx');
    expect(text).toEndWith('xxx end');
    expect(text).not.toContain('z');
    expect(buffer.bytesTotal).toBe(100_000_010);
  });
  test('a limit of nothing keeps nothing', () => {
    expect(fill(Buffer.from('abc'), 0, [1]).text()).toBe('\n[… 3 bytes left out …]\n');
  });
});

test('cutHead and cutTail never split a character and use what they are given', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat({ max: 60 }), (text, bytesMax) => {
      const whole = Buffer.from(text).toString();
      const head = cutHead(whole, bytesMax);
      const tail = cutTail(whole, bytesMax);
      expect(whole.startsWith(head)).toBe(true);
      expect(whole.endsWith(tail)).toBe(true);
      for (const part of [head, tail]) {
        const bytes = Buffer.byteLength(part);
        expect(bytes).toBeLessThanOrEqual(bytesMax);
        if (part.length < whole.length) expect(bytes).toBeGreaterThan(bytesMax - 4);
      }
    }),
  );
});

describe('bounded queue', () => {
  test('refuses or drops the oldest when it is full, and counts', async () => {
    const refusing = createBoundedQueue<number>({ itemsMax: 2, whenFull: 'refuse' });
    expect([1, 2, 3].map((item) => refusing.push(item))).toEqual([true, true, false]);
    const dropping = createBoundedQueue<number>({ itemsMax: 2, whenFull: 'drop_oldest' });
    expect([1, 2, 3].map((item) => dropping.push(item))).toEqual([true, true, true]);
    for (const [queue, items] of [
      [refusing, [1, 2]],
      [dropping, [2, 3]],
    ] as const) {
      expect(queue).toMatchObject({ size: 2, itemsLost: 1 });
      expect([await queue.take(), await queue.take()]).toEqual([...items]);
    }
  });
  test('keeps the order of any mix of pushes and takes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean()), async (steps) => {
        const queue = createBoundedQueue<number>({ itemsMax: 1_000, whenFull: 'refuse' });
        let pushed = 0;
        let taken = 0;
        for (const isPush of steps) {
          if (isPush) queue.push((pushed += 1));
          else if (queue.size > 0) expect(await queue.take()).toBe((taken += 1));
          expect(queue.size).toBe(pushed - taken);
        }
      }),
    );
  });
  test('a waiter gets the next item, the end, or its abort', async () => {
    const queue = createBoundedQueue<string>({ itemsMax: 1, whenFull: 'refuse' });
    const next = queue.take();
    queue.push('late');
    expect(await next).toBe('late');
    const abort = new AbortController();
    const aborted = queue.take(abort.signal);
    abort.abort();
    expect(await aborted).toBeUndefined();
    const atEnd = queue.take();
    queue.close();
    expect(await atEnd).toBeUndefined();
    expect(queue.push('too late')).toBe(false);
  });
  test('what is inside when it closes can still be taken', async () => {
    const queue = createBoundedQueue<string>({ itemsMax: 1, whenFull: 'refuse' });
    queue.push('last');
    queue.close();
    expect([await queue.take(), await queue.take()]).toEqual(['last', undefined]);
  });
});

describe('waits', () => {
  test('grow twofold up to the most, below a random part of it', () => {
    const delays = [1, 2, 3, 4, 50, 5_000].map((attempt) =>
      backoffDelayMs(attempt, { firstMs: 100, mostMs: 500, random: () => 0.999_999 }),
    );
    expect(delays).toEqual([99, 199, 399, 499, 499, 499]);
    expect(backoffDelayMs(3, { firstMs: 100, mostMs: 500, random: () => 0 })).toBe(0);
    const many = Array.from({ length: 200 }, () => backoffDelayMs(1, { firstMs: 1_000, mostMs: 1_000 }));
    expect(new Set(many).size).toBeGreaterThan(100);
  });
  test('sleep ends by its time or by its signal, and leaves no listener', async () => {
    const start = systemClock.elapsed();
    await sleep(30);
    expect(systemClock.elapsed() - start).toBeWithin(29, 500);
    const controller = new AbortController();
    const sleeping = sleep(60_000, controller.signal);
    controller.abort(new Error('drained'));
    await expect(sleeping).rejects.toThrow('drained');
    await expect(sleep(60_000, controller.signal)).rejects.toThrow('drained');
    await expect(sleep(60_000, AbortSignal.abort('why'))).rejects.toMatchObject({ message: 'aborted', cause: 'why' });
  });
  test('a sleep beyond what timers can hold does not end at once', async () => {
    const controller = new AbortController();
    const sleeping = sleep(2 ** 40, controller.signal).then(
      () => 'slept',
      () => 'aborted',
    );
    await sleep(30);
    controller.abort();
    expect(await sleeping).toBe('aborted');
  });
});
