// The output door and small helpers of the command line, without a process: terminals, slow and vanished readers, suggestions.
import { describe, expect, test } from 'bun:test';
import { PassThrough } from 'node:stream';
import { createOutput, type OutputStream } from '../../../src/cli/output.ts';
import { nearest } from '../../../src/cli/suggest.ts';

function stream(isTTY: boolean, highWaterMark = 16_384): PassThrough & OutputStream {
  return Object.assign(new PassThrough({ highWaterMark }), { isTTY });
}
const open = (environment: Record<string, string>, isTty = true, isStdinTty = true) =>
  createOutput(stream(isTty), stream(isTty), { environment, isStdinTty });

describe('terminals', () => {
  test.each([
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ TERM: 'dumb' }, true, false],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '0' }, true, false],
    [{ FORCE_COLOR: '3', NO_COLOR: '1' }, true, false],
  ])('%j on a terminal %p: colour %p', (environment, isTty, hasColour) => {
    const { stdout } = open(environment, isTty);
    expect(stdout.style('red', 'x') !== 'x').toBe(hasColour);
    expect(stdout.hasColour).toBe(hasColour);
  });
  test('a question can only be asked of a person', () => {
    expect(open({}).isInteractive).toBe(true);
    expect(open({}, false).isInteractive).toBe(false);
    expect(open({}, true, false).isInteractive).toBe(false);
    expect(open({ CI: '1' }).isInteractive).toBe(false);
    expect(open({ CI: 'false' }).isInteractive).toBe(true);
    expect(open({ TERM: 'dumb' }).isInteractive).toBe(false);
  });
  test('text of a model cannot move the cursor or set the title, in a pipe it stays as it is', () => {
    const hostile = 'a\u001B[2J\u001B]0;title\u0007b\r\u001B]8;;http://x\u001B\\c\u009B5m\td\ne\u001B';
    expect(open({}).stdout.foreign(hostile)).toBe('abc5m\td\ne');
    expect(open({}, false).stdout.foreign(hostile)).toBe(hostile);
    expect(open({}).stdout.foreign('\n[x] list\n[abc')).toBe('\n[x] list\n[abc');
    // What has no end takes the rest of its line with it, not everything that follows.
    expect(open({}).stdout.foreign('a\u001B]0;never ended\nb')).toBe('a\nb');
  });
  test('nor does it in JSON, which is the same JSON', async () => {
    const stdout = stream(true);
    const value = { a: 'x\u009B2J\u001B[2J\u007Fü' };
    await createOutput(stdout, stream(true), { environment: {}, isStdinTty: true }).printJson(value);
    const text = String(stdout.read());
    expect(text).not.toMatch(/[^\P{Cc}\n]/u);
    expect(JSON.parse(text)).toEqual(value);
  });
});

describe('readers', () => {
  test('a slow one is waited for', async () => {
    const slow = stream(false, 4);
    const output = createOutput(slow, stream(false), { environment: {}, isStdinTty: false });
    let isWritten = false;
    const writing = output.print('a long line').then(() => (isWritten = true));
    await Bun.sleep(20);
    expect(isWritten).toBe(false);
    slow.resume();
    await writing;
  });
  test('one that leaves ends the wait and is told once', async () => {
    const leaving = stream(false, 4);
    const output = createOutput(leaving, stream(false), { environment: {}, isStdinTty: false });
    const writing = output.print('a long line');
    leaving.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await writing;
    expect(output.closed.aborted).toBe(true);
    await output.print('nobody reads this');
    await output.flush();
  });
  test('a file on a full disk is an error at the end, because what stands in it is not all', async () => {
    const full = stream(false);
    const output = createOutput(full, stream(false), { environment: {}, isStdinTty: false });
    full.emit('error', Object.assign(new Error('write ENOSPC'), { code: 'ENOSPC' }));
    await output.print('half');
    await expect(output.flush()).rejects.toThrow('ENOSPC');
  });
});

test('suggestions are near or none', () => {
  expect(nearest('strat', ['start', 'stop'])).toBe('start');
  expect(nearest('STOP', ['start', 'stop'])).toBe('stop');
  expect(nearest('gte', ['get', 'list'])).toBeUndefined();
  expect(nearest('ge', ['get', 'list'])).toBe('get');
  expect(nearest('deploy', ['start', 'stop'])).toBeUndefined();
  expect(nearest('x', [])).toBeUndefined();
});
