// Writes src/tools/TOOLS.md, the table of every tool, key and variant with its test: `bun run scripts/tools-table.ts`; a test says when to.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type SkillTypeDescription, describeSkillTypes } from '../src/tools/skill-types.ts';

const root = resolve(import.meta.dirname, '..');
const testDirectory = join(root, 'test/unit/tools');
export const tableFile = join(root, 'src/tools/TOOLS.md');

export interface Row {
  /** `run_shell_command`, `shell.timeout`, `shell=read_only`: what stands in brackets in the name of its test. */
  readonly marker: string;
  readonly kind: 'tool' | 'key' | 'variant';
  readonly skill: string;
  readonly description: string;
  /** `file › name of the test`. */
  readonly test: string | undefined;
}

export function rowsOf(): Row[] {
  const tests = findTests();
  const seen = new Set<string>();
  return describeSkillTypes().flatMap((type) =>
    markersOf(type).flatMap((row) => {
      // file_generation has the tools of file_system.
      if (seen.has(row.marker)) return [];
      seen.add(row.marker);
      return [{ ...row, skill: type.type, test: tests.find((named) => named.covers(row.marker))?.name }];
    }),
  );
}

function markersOf(type: SkillTypeDescription): Omit<Row, 'test' | 'skill'>[] {
  const declared =
    type.type === 'workflow_executor'
      ? [{ marker: 'run_<workflow>', kind: 'tool' as const, description: 'one tool for each workflow' }]
      : [];
  return [
    ...type.tools.map(({ name, description }) => ({
      marker: name,
      kind: 'tool' as const,
      description: description.split(/[.:] |\.$|\n/, 1).join(''),
    })),
    ...declared,
    ...type.variants.map(({ name, description, locked }) => ({
      marker: `${type.type}=${name}`,
      kind: 'variant' as const,
      description: locked.length === 0 ? description : `${description}; locks ${locked.join(', ')}`,
    })),
    ...type.keys.map(({ name, description }) => ({
      marker: `${type.type}.${name}`,
      kind: 'key' as const,
      description,
    })),
  ];
}

interface NamedTest {
  readonly name: string;
  readonly covers: (marker: string) => boolean;
}

/** Names of tests with brackets. `[%s]` and `[${name}]` stand for each tool that the same file names in a table. */
function findTests(): NamedTest[] {
  return readdirSync(testDirectory)
    .filter((file) => file.endsWith('.test.ts'))
    .flatMap((file) => {
      const text = readFileSync(join(testDirectory, file), 'utf8');
      const literals = Array.from(
        text.matchAll(/^\s*(?:test(?:\.each\(\w+\))?\(|\]\)\()?\s*(['`])((?:.*\[[^\]]+\].*))\1,\s*(?:async )?\(?/gm),
        ([, , name = '']) => name,
      );
      return literals.map((name): NamedTest => ({
        name: `${file} › ${name}`,
        covers: (marker) =>
          name.includes(`[${marker}]`) ||
          (/\[(%s|\$\{name\})\]/.test(name) && (text.includes(`['${marker}', `) || text.includes(`  ${marker}: {`))),
      }));
    });
}

export function tableText(): string {
  const rows = rowsOf();
  const types = [...new Set(rows.map(({ skill }) => skill))];
  const descriptions = new Map(describeSkillTypes().map(({ type, description }) => [type, description]));
  const sections = types.map((type) => {
    const lines = rows
      .filter(({ skill }) => skill === type)
      .map(
        ({ marker, kind, description, test }) =>
          `| \`${marker}\` | ${kind} | ${cell(description)} | ${cell(test ?? '**none**')} |`,
      );
    return [
      `## ${type}`,
      '',
      `${descriptions.get(type) ?? ''}.`,
      '',
      '| what | kind | meaning | test |',
      '|---|---|---|---|',
      ...lines,
    ].join('\n');
  });
  return `${[
    '# Tools, keys and variants',
    '',
    'Written by `bun run scripts/tools-table.ts` from the schemas in this folder. Every row names a test in `test/unit/tools`',
    'that fails without it; `bun test/unit/tools/enforcement-long.ts` takes each key and each variant away in turn and sees its',
    'test fail. `kubiya skill types --json` prints the same with the JSON Schema of each key.',
    '',
    'A skill chooses a variant with the key `variant` of its configuration or of its record. A variant sets keys; a locked key',
    'cannot be changed by the skill. Unknown keys are ignored with a notice in the execution, wrong values make the skill',
    'unavailable.',
    '',
    ...sections.flatMap((section) => [section, '']),
  ]
    .join('\n')
    .trimEnd()}\n`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

if (import.meta.main) writeFileSync(tableFile, tableText());
