// Prints a list or one thing: columns for people, JSON for programs.
import type { Output } from './output.ts';

export type Cell = string | number | boolean | null | undefined;

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => Cell;
}

/** A list as the server sent it with `--json`, else as columns; an empty list says so on stderr. */
export async function printList<T>(
  output: Output,
  rows: readonly T[],
  columns: readonly Column<T>[],
  isJson: boolean,
): Promise<void> {
  if (isJson) return await output.printJson(rows);
  if (rows.length === 0) return await output.note('there are none');
  const { stdout } = output;
  const cells = rows.map((row) => columns.map(({ value }) => stdout.foreign(textOf(value(row)))));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => row[index]?.length ?? 0)),
  );
  const lastWidth = widthOfLast(widths, stdout.columns);
  const lineOf = (row: readonly string[]): string => {
    const last = cut(row.at(-1) ?? '', lastWidth);
    const before = row.slice(0, -1).map((cell, index) => cell.padEnd(widths[index] ?? 0));
    return [...before, last].join(gap).trimEnd();
  };
  const lines = [stdout.style('bold', lineOf(columns.map(({ title }) => title))), ...cells.map(lineOf)];
  await stdout.write(`${lines.join('\n')}\n`);
}

const gap = '  ';
/** Less than a word of a sentence is no use: the column is left out. */
const lastWidthMin = 10;

/** What a terminal has left for the last column; a wrapped table cannot be read. */
function widthOfLast(widths: readonly number[], terminalColumns: number | undefined): number {
  if (terminalColumns === undefined) return Infinity;
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + gap.length, 0);
  const left = terminalColumns - before;
  return left >= Math.min(lastWidthMin, widths.at(-1) ?? 0) ? left : 0;
}

function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  return width === 0 ? '' : `${text.slice(0, width - 1)}…`;
}

/** One thing: every field that has a value, nested ones as JSON. */
export async function printThing(
  output: Output,
  thing: Readonly<Record<string, unknown>>,
  isJson: boolean,
): Promise<void> {
  if (isJson) return await output.printJson(thing);
  const fields = Object.entries(thing).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  for (const [name, value] of fields) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    // Continuation lines of a long answer stay under their first.
    const indented = output.stdout.foreign(text).replaceAll('\n', `\n${' '.repeat(width + 2)}`);
    await output.print(`${output.stdout.style('bold', name.padEnd(width))}  ${indented}`);
  }
}

function textOf(cell: Cell): string {
  return cell === null || cell === undefined ? '-' : String(cell).replace(/\s+/g, ' ');
}
