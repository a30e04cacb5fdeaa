// Everything that can be checked without running the product: `bun run check`.
import { resolve } from 'node:path';

const root = resolve(import.meta.dir, '..');

interface Check {
  readonly name: string;
  readonly command: readonly string[];
}

/** Under Bun, because there may be no Node. */
const tool = (name: string): string[] => [process.execPath, '--bun', 'run', name];

const checks: readonly Check[] = [
  { name: 'types', command: [...tool('tsc'), '--noEmit', '-p', '.'] },
  { name: 'lint', command: [...tool('oxlint'), '--type-aware'] },
  { name: 'format', command: [...tool('oxfmt'), '--check'] },
  { name: 'unused', command: [...tool('knip'), '--no-progress', '--treat-config-hints-as-errors'] },
  { name: 'tidy', command: [process.execPath, 'test', './test/tidy.test.ts', '--only-failures'] },
];

/** Runs one check; its output is kept together, because all run at once. */
async function run({ name, command }: Check): Promise<boolean> {
  const child = Bun.spawn([...command], { cwd: root, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  const [code, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  const output = `${stdout}${stderr}`.trim();
  console.log(code === 0 ? `${name}: clean` : `${name}: failed\n${output}\n`);
  return code === 0;
}

if (import.meta.main) {
  const results = await Promise.all(checks.map(run));
  process.exit(results.every(Boolean) ? 0 : 1);
}
