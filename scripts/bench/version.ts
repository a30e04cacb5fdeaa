// How fast `kubiya --version` is beside a bare compiled program: both run in turns, so that a neighbour slows both.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../generate.ts';

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
  const medians = Object.entries(times).map(([name, values]) => {
    console.log(
      `${name.padEnd(18)} median ${quantile(values, 0.5).toFixed(2)} ms  p95 ${quantile(values, 0.95).toFixed(2)} ms`,
    );
    return quantile(values, 0.5);
  });
  const ratio = (medians[0] ?? Number.NaN) / (medians[1] ?? Number.NaN);
  console.log(
    `ratio ${ratio.toFixed(2)}  (${runs} runs each, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(1)})`,
  );
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((first, second) => first - second);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
