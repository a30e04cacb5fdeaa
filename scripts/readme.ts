// Writes the tables of README.md from the declarations that they describe: `bun run scripts/readme.ts`; a test says when to.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type DefaultLimits, defaultLimits } from '../src/agent/limits.ts';
import { type Command } from '../src/cli/command.ts';
import { root as commandTree } from '../src/cli/root.ts';
import { optionEntries, type OptionDeclaration } from '../src/config/options.ts';
import { formatDuration } from '../src/lib/duration.ts';
import { formatBytes } from '../src/lib/size.ts';

const root = resolve(import.meta.dirname, '..');
const readmeFile = join(root, 'README.md');

/** The text with what stands between `<!-- table: NAME -->` and `<!-- end -->` made anew. Throws for a name without a table. */
export async function withTables(readme: string): Promise<string> {
  const tables: Readonly<Record<string, string>> = {
    commands: await commandTable(),
    environment: environmentTable(),
    limits: limitsTable(),
  };
  return readme.replaceAll(
    /(<!-- table: (\w+) -->\n)[^<]*(<!-- end -->)/g,
    (_all, start: string, name: string, end: string) => {
      const table = tables[name];
      if (table === undefined) throw new Error(`README.md asks for the table ${name}, which is not made here`);
      return `${start}${table}\n${end}`;
    },
  );
}

function tableOf(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(titles), line(titles.map(() => '---')), ...rows.map(line)].join('\n');
}

/** One row for each noun: the sentence of a group says what its commands are about. */
async function commandTable(): Promise<string> {
  const rows = await Promise.all(
    Object.entries(commandTree.subCommands ?? {}).map(async ([word, loaded]) => {
      const child: Command = typeof loaded === 'function' ? await loaded() : loaded;
      const verbs = Object.keys(child.subCommands ?? {}).map((verb) => `\`${verb}\``);
      return [`\`kubiya ${word}\`${verbs.length === 0 ? '' : ` ${verbs.join(', ')}`}`, child.meta.description];
    }),
  );
  return tableOf(['Command', 'What it does'], rows);
}

function environmentTable(): string {
  const rows = optionEntries().flatMap(([, option]) =>
    option.environment === undefined
      ? []
      : [
          [
            option.environment.map((name) => `\`${name}\``).join(', '),
            option.flag === undefined ? '' : `\`--${option.flag}\``,
            defaultOf(option),
            option.description,
          ],
        ],
  );
  return tableOf(['Variable', 'Flag', 'Default', 'Meaning'], rows);
}

function defaultOf(option: OptionDeclaration): string {
  if (option.defaultText !== undefined) return option.defaultText;
  if (option.default === undefined) return '';
  return `\`${option.type === 'bytes' ? formatBytes(Number(option.default)) : String(option.default)}\``;
}

/** Every limit has its words here, so that a new one cannot be forgotten. */
const limitWords: Readonly<
  Record<keyof DefaultLimits, { readonly words: string; readonly format: (value: number) => string }>
> = {
  turnsMax: { words: 'model calls', format: grouped },
  totalTokensMax: { words: 'tokens, in and out', format: grouped },
  costUsdMax: { words: 'US dollars of model calls (`--max-cost` changes it)', format: grouped },
  wallTimeMsMax: { words: 'time from start to end (`--timeout` shortens it)', format: formatDuration },
  toolTimeMsMax: { words: 'time of one tool call (`ACTIVITY_TIMEOUT` changes it)', format: formatDuration },
  toolOutputBytesMax: { words: 'bytes of one tool’s output that the model sees', format: grouped },
  transcriptBytesMax: { words: 'bytes of a transcript before old tool outputs are cut', format: grouped },
};

function limitsTable(): string {
  const names = Object.keys(limitWords) as (keyof DefaultLimits)[];
  const rows = names.map((name) => [limitWords[name].words, limitWords[name].format(defaultLimits[name])]);
  return tableOf(['Limit of an execution', 'Default'], rows);
}

function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

if (import.meta.main) writeFileSync(readmeFile, await withTables(readFileSync(readmeFile, 'utf8')));
