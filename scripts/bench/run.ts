// Runs the benchmarks of this directory: `bun run bench [NAME …] [--strict]`, one after the other, each in a process of its own.
import { basename } from 'node:path';

const words = process.argv.slice(2);
const options = words.filter((word) => word.startsWith('--'));
const unknownOptions = options.filter((option) => option !== '--strict');
if (unknownOptions.length > 0) {
  console.error(`there is no option ${unknownOptions.join(', ')}; --strict fails when a ratio misses its bar`);
  process.exit(2);
}
const names = [...new Bun.Glob('*.ts').scanSync({ cwd: import.meta.dir })]
  .map((file) => basename(file, '.ts'))
  .toSorted();
const available = names.filter((name) => name !== 'run');
const named = words.filter((word) => !word.startsWith('--'));
const wanted = named.length > 0 ? named : available;
const unknown = wanted.filter((name) => !available.includes(name));
if (unknown.length > 0) {
  console.error(`there is no benchmark ${unknown.join(', ')}; there is ${available.join(', ')}`);
  process.exit(2);
}
let failures = 0;
for (const name of wanted) {
  console.log(`# ${name}`);
  const { exitCode } = Bun.spawnSync([process.execPath, 'run', `${import.meta.dir}/${name}.ts`, ...options], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (exitCode !== 0) failures += 1;
}
process.exit(failures === 0 ? 0 : 1);
