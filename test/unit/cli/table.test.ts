// Lists on terminals of different widths, and in a pipe.
import { expect, test } from 'bun:test';
import { PassThrough } from 'node:stream';
import { createOutput, type OutputStream } from '../../../src/cli/output.ts';
import { printList } from '../../../src/cli/table.ts';

const rows = [
  { name: 'first', words: 'a sentence that is longer than what is left of a narrow terminal' },
  { name: 'the second', words: 'short' },
];

async function linesOn(columns: number | undefined): Promise<string[]> {
  const stream = (): PassThrough & OutputStream =>
    Object.assign(new PassThrough(), columns === undefined ? {} : { isTTY: true, columns });
  const stdout = stream();
  const output = createOutput(stdout, stream(), { environment: { NO_COLOR: '1' }, isStdinTty: false });
  const titled = [
    { title: 'NAME', value: (row: (typeof rows)[number]) => row.name },
    { title: 'WORDS', value: (row: (typeof rows)[number]) => row.words },
  ];
  await printList(output, rows, titled, false);
  return String(stdout.read()).trimEnd().split('\n');
}

test('in a pipe and on a wide terminal nothing is cut', async () => {
  expect(await linesOn(undefined)).toEqual(await linesOn(200));
  expect((await linesOn(undefined))[1]).toBe(`first       ${rows[0]?.words}`);
});

test('on a narrow terminal the last column is cut, so that no line wraps', async () => {
  expect(await linesOn(30)).toEqual(['NAME        WORDS', 'first       a sentence that i…', 'the second  short']);
});

test('a column that has no room is left out', async () => {
  expect(await linesOn(20)).toEqual(['NAME', 'first', 'the second']);
});
