// Runs the benchmarks of this directory: `bun run bench [NAME …]`, one after the other, each in a process of its own.
import { basename } from 'node:path';

const names = [...new Bun.Glob('*.ts').scanSync({ cwd: import.meta.dir })]
  .map((file) => basename(file, '.ts'))
  .toSorted();
const available = names.filter((name) => name !== 'run');
const wanted = process.argv.length > 2 ? process.argv.slice(2) : available;
const unknown = wanted.filter((name) => !available.includes(name));
if (unknown.length > 0) {
  console.error(`there is no benchmark ${unknown.join(', ')}; there is ${available.join(', ')}`);
  process.exit(2);
}
let failures = 0;
for (const name of wanted) {
  console.log(`# ${name}`);
  const { exitCode } = Bun.spawnSync([process.execPath, 'run', `${import.meta.dir}/${name}.ts`], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (exitCode !== 0) failures += 1;
}
process.exit(failures === 0 ? 0 : 1);
