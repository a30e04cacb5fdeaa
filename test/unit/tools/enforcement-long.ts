// Takes each key and each variant of the skills away in turn and demands that the test named for it fails: `bun test/unit/tools/enforcement-long.ts [word]`.
import { dirname, join } from 'node:path';
import { type Row, rowsOf } from '../../../scripts/tools-table.ts';

const here = import.meta.dir;
const wanted = process.argv[2] ?? '';
const rows = rowsOf().filter(({ kind, marker }) => kind !== 'tool' && marker.includes(wanted));

/** `ignored`: accepted without an effect. `undeclared`: a variant whose values are the defaults is missed only when it is unknown. */
type Break = 'ignored' | 'undeclared';

/** Whether the row's test passes with the row's key or variant, or without it. */
async function passes(row: Row, how?: Break): Promise<boolean> {
  const [file = ''] = row.test?.split(' › ') ?? [];
  const child = Bun.spawn({
    cmd: [
      process.execPath,
      'test',
      ...(how !== undefined ? ['--preload', join(here, 'enforcement.fixture.ts')] : []),
      join(here, file),
      '--test-name-pattern',
      `\\[${row.marker.replaceAll('.', '\\.')}\\]`,
    ],
    cwd: join(dirname(here), '../..'),
    env: { ...Bun.env, ENFORCEMENT_WITHOUT: row.marker, ENFORCEMENT_HOW: how },
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const output = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  if (!/\b[1-9][0-9]* (pass|fail)\b/.test(output)) throw new Error(`${row.marker}: no test ran\n${output}`);
  return (await child.exited) === 0;
}

async function verdictOn(
  row: Row,
): Promise<'notices' | 'is the default, notices' | 'FAILS ANYWAY' | 'DOES NOT NOTICE'> {
  if (!(await passes(row))) return 'FAILS ANYWAY';
  if (!(await passes(row, 'ignored'))) return 'notices';
  const isMissed = row.kind === 'variant' && !(await passes(row, 'undeclared'));
  return isMissed ? 'is the default, notices' : 'DOES NOT NOTICE';
}

let bad = 0;
for (const row of rows) {
  const verdict = await verdictOn(row);
  if (!verdict.endsWith('notices')) bad += 1;
  console.log(`${row.marker}: ${verdict}`);
}
console.log(`${rows.length} keys and variants, ${bad} without a test that notices`);
process.exit(bad === 0 ? 0 : 1);
