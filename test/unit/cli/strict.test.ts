// The strict layer with citty behind it: what a command is given for the words that citty alone would misread.
import { expect, test } from 'bun:test';
import { runCommand } from 'citty';
import { defineCommand, type Invocation } from '../../../src/cli/command.ts';
import { createOutput } from '../../../src/cli/output.ts';
import { checkWords, firstPositionalIndex } from '../../../src/cli/strict.ts';
import type { FlagValues } from '../../../src/config/sources.ts';
import { PassThrough } from 'node:stream';

const seen: { args?: unknown; flags?: FlagValues } = {};
const command = defineCommand({
  meta: { description: 'for this test' },
  scope: 'exec',
  examples: [],
  args: {
    what: { type: 'positional', description: 'what' },
    more: { type: 'positional', description: 'more', required: false },
    text: { type: 'text', alias: 'other-text', description: 'a text' },
    'some-path': { type: 'path', alias: 'p', description: 'a path' },
    wait: { type: 'duration', minMs: 0, maxMs: 1e9, description: 'a duration' },
    count: { type: 'integer', min: 0, max: 9, description: 'a number' },
    kind: { type: 'choice', choices: ['one', 'two'], alias: 'k', description: 'a choice' },
    label: { type: 'text', isRepeatable: true, description: 'labels' },
    force: { type: 'switch', alias: 'f', description: 'a switch' },
    stream: { type: 'switch', isOn: true, description: 'a switch that is on' },
  },
  run: async ({ args, loadConfig }) => {
    seen.args = args;
    await loadConfig().catch(() => undefined);
  },
});

async function read(...words: readonly string[]): Promise<Record<string, unknown>> {
  const rawArgs = checkWords(command, words);
  if (rawArgs === undefined) throw new Error('help was not asked for');
  const data: Invocation = {
    output: createOutput(new PassThrough(), new PassThrough(), { environment: {}, isStdinTty: false }),
    cwd: '/',
    commandLine: words,
    loadConfig: (_scope, flags) => {
      seen.flags = flags;
      return Promise.reject(new Error('this test has no configuration'));
    },
  };
  await runCommand(command, { rawArgs, data });
  const given = Object.entries(seen.flags ?? {}).filter(([, value]) => value !== undefined);
  return { ...(seen.args as object), ...Object.fromEntries(given) };
}

const absent = {
  what: 'w',
  more: undefined,
  text: undefined,
  'some-path': undefined,
  wait: undefined,
  count: undefined,
  kind: undefined,
  label: [],
  force: false,
  stream: true,
};

test.each<[readonly string[], Record<string, unknown>]>([
  [['w'], {}],
  [['w', '--text', '--no-force'], { text: '--no-force' }],
  [['w', '--text=--no-stream', '--force'], { text: '--no-stream', force: true }],
  [['w', '--other-text', 'a=b\nc'], { text: 'a=b\nc' }],
  [['--', '--no-stream', '-f'], { what: '--no-stream', more: '-f' }],
  [['w', ''], { more: '' }],
  [['w', '-'], { more: '-' }],
  [['w', '--no-stream'], { stream: false }],
  [['w', '--no-force'], { force: false }],
  [['w', '-fktwo'], { force: true, kind: 'two' }],
  [['w', '-k', 'TWO'], { kind: 'two' }],
  [['w', '-p', 'a/b'], { 'some-path': 'a/b' }],
  [['w', '--wait', '2m', '--count=7'], { wait: 120_000, count: 7 }],
  [['w', '--label', 'a', '--label=--no-b', '--label', 'a'], { label: ['a', '--no-b', 'a'] }],
  [['w', '--label', 'a', '--', '--label=b'], { label: ['a'], more: '--label=b' }],
  [['w', '--model', 'm', '--local-server'], { model: 'm', 'local-server': true }],
  [['w', '--no-local-server'], { 'local-server': false }],
])('%j', async (words, values) => {
  expect(await read(...words)).toEqual({ ...absent, ...values });
});

test.each([
  [['w', '--someFlag'], 'unknown flag --someFlag'],
  [['w', '--somePath', 'x'], 'unknown flag --somePath'],
  [['w', '--no-text'], 'unknown flag --no-text'],
  [['w', '--no-no-force'], 'unknown flag --no-no-force'],
  [['w', '-x'], 'unknown flag -x'],
  [['w', '-f', '--force'], '--force is given twice'],
  [['w', '-f', '--no-force'], '--no-force is given twice'],
  [['w', '--text'], '--text needs a value'],
  [['w', '-k', 'three'], '-k must be one of one, two, not "three"'],
  [['a', 'b', 'c'], 'unexpected argument "c"'],
  [[], 'the argument <what> is missing'],
])('%j is refused', (words, message) => {
  expect(() => checkWords(command, words)).toThrow(message);
});

test('help is asked for before what comes after it, not after a mistake or behind --', () => {
  expect(checkWords(command, ['-h', '--bogus'])).toBeUndefined();
  expect(() => checkWords(command, ['--bogus', '-h'])).toThrow('unknown flag --bogus');
  expect(checkWords(command, ['--', '-h'])).toEqual(['--', '-h']);
});

test('the first word that is no flag and no value of one', () => {
  expect(firstPositionalIndex(command, ['-f', '--text', 'a', '-k', 'one', 'b'])).toBe(5);
  expect(firstPositionalIndex(command, ['--text=a', '--', 'b'])).toBe(2);
  expect(firstPositionalIndex(command, ['--text', 'a'])).toBe(-1);
});
