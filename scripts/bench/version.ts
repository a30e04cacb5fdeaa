// How fast `kubiya --version` is beside a bare compiled program: both run in turns, so that a neighbour slows both.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../generate.ts';
import { createReport, median } from './support/report.ts';

/** Enough for a median that does not move between invocations. */
const runs = 100;
/** The first runs read the files into the page cache. */
const warmUpRuns = 5;

const directory = mkdtempSync(join(tmpdir(), 'kubiya-bench-'));
try {
  const source = join(directory, 'hello.ts');
  writeFileSync(source, "console.log('hello');\n");
  const hello = join(directory, 'hello');
  await Bun.build({ entrypoints: [source], bytecode: true, minify: true, format: 'esm', compile: { outfile: hello } });
  const commands = { 'kubiya --version': [join(root, 'dist/kubiya'), '--version'], 'bare hello': [hello] };
  const times: Record<string, number[]> = { 'kubiya --version': [], 'bare hello': [] };
  for (let run = -warmUpRuns; run < runs; run++) {
    for (const [name, command] of Object.entries(commands)) {
      const startedAt = performance.now();
      const { exitCode } = Bun.spawnSync(command, { stdout: 'ignore', stderr: 'inherit' });
      if (exitCode !== 0) throw new Error(`${name} ended with ${exitCode}`);
      if (run >= 0) times[name]?.push(performance.now() - startedAt);
    }
  }
  const report = createReport();
  for (const [name, values] of Object.entries(times)) report.add(name, 'ms', values);
  const [ours = [], bare = []] = Object.values(times);
  report.ratio('kubiya is so much as a bare program', median(ours) / median(bare), { bar: 2 });
  report.print();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
