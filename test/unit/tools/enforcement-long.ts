// Takes each key and each variant of the skills away in turn and demands that the test named for it fails: `bun test/unit/tools/enforcement-long.ts [word]`.
import { dirname, join } from 'node:path';
import { type Row, rowsOf } from '../../../scripts/tools-table.ts';

const here = import.meta.dir;
const wanted = process.argv[2] ?? '';
const rows = rowsOf().filter(({ kind, marker }) => kind !== 'tool' && marker.includes(wanted));

/** Whether the row's test passes, with the row's key or variant or (`isBroken`) without it. */
async function passes(row: Row, isBroken: boolean): Promise<boolean> {
  const [file = ''] = row.test?.split(' › ') ?? [];
  const child = Bun.spawn({
    cmd: [
      process.execPath,
      'test',
      ...(isBroken ? ['--preload', join(here, 'enforcement.fixture.ts')] : []),
      join(here, file),
      '--test-name-pattern',
      `\\[${row.marker.replaceAll('.', '\\.')}\\]`,
    ],
    cwd: join(dirname(here), '../..'),
    env: { ...Bun.env, ENFORCEMENT_WITHOUT: row.marker },
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const output = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  if (!/\b[1-9][0-9]* (pass|fail)\b/.test(output)) throw new Error(`${row.marker}: no test ran\n${output}`);
  return (await child.exited) === 0;
}

let bad = 0;
for (const row of rows) {
  const isSound = await passes(row, false);
  const isBlind = await passes(row, true);
  const verdict = !isSound ? 'FAILS ANYWAY' : isBlind ? 'DOES NOT NOTICE' : 'notices';
  if (verdict !== 'notices') bad += 1;
  console.log(`${row.marker}: ${verdict}`);
}
console.log(`${rows.length} keys and variants, ${bad} without a test that notices`);
process.exit(bad === 0 ? 0 : 1);
