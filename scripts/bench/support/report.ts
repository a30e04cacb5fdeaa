// The table that every benchmark ends with: what was measured beside its bar, its goal and what it is compared to.
import { cpus, loadavg } from 'node:os';

export interface Bar {
  /** What must be reached, and what we want; in the unit of the row. */
  readonly bar?: number;
  readonly goal?: number;
  /** True for rates. */
  readonly isMoreBetter?: boolean;
}

interface Row extends Bar {
  readonly name: string;
  readonly unit: string;
  readonly samples: readonly number[];
  readonly isRatio: boolean;
}

export interface Report {
  /** One row; the median is what counts. */
  add(name: string, unit: string, samples: readonly number[], bar?: Bar): void;
  /** How many times as much as its comparison, which was measured in the same run: the one figure that `--strict` judges. */
  ratio(name: string, value: number, bar?: Bar): void;
  /** Prints the table. With `--strict` a ratio above its bar is exit code 1. */
  print(note?: string): void;
}

export function createReport(): Report {
  const rows: Row[] = [];
  return {
    add: (name, unit, samples, bar = {}) => void rows.push({ name, unit, samples, isRatio: false, ...bar }),
    ratio: (name, value, bar = {}) => void rows.push({ name, unit: '×', samples: [value], isRatio: true, ...bar }),
    print: (note) => {
      printColumns([['', 'median', 'min–max', 'n', 'bar', 'goal', ''], ...rows.map(cells)]);
      const load = loadavg().map((value) => value.toFixed(1));
      console.log(`${note === undefined ? '' : `${note}\n`}${cpus().length} cores, load average ${load.join(' ')}\n`);
      const isMissed = rows.some((row) => row.isRatio && row.bar !== undefined && !reaches(row, row.bar));
      if (isMissed && process.argv.includes('--strict')) process.exitCode = 1;
    },
  };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((first, second) => first - second);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** The first column to the left, the others to the right. */
export function printColumns(table: readonly (readonly string[])[]): void {
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  for (const row of table) {
    const line = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    console.log(line.join('  ').trimEnd());
  }
}

function cells(row: Row): string[] {
  const { name, unit, samples, bar, goal } = row;
  const show = (value: number | undefined): string => (value === undefined ? '' : `${rounded(value)} ${unit}`);
  const range = samples.length > 1 ? `${rounded(Math.min(...samples))}–${rounded(Math.max(...samples))}` : '';
  return [name, show(median(samples)), range, String(samples.length), show(bar), show(goal), verdict(row)];
}

function verdict(row: Row): string {
  if (row.goal !== undefined && reaches(row, row.goal)) return 'goal';
  if (row.bar === undefined) return row.goal === undefined ? '' : 'above';
  return reaches(row, row.bar) ? 'bar' : 'MISSED';
}

function reaches({ samples, isMoreBetter }: Row, limit: number): boolean {
  return isMoreBetter === true ? median(samples) >= limit : median(samples) <= limit;
}

function rounded(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
