// Run on a disk that is full, read-only or not ours: saves a file into the directory it is given and prints the result.
import { readdirSync } from 'node:fs';
import { createSpawner } from '../../../src/lib/spawn.ts';
import { toolOf } from './support.ts';

const [workspace = '', size = '0'] = Bun.argv.slice(2);
const result = await toolOf('save_file', 'file_system').run(
  JSON.stringify({ file_name: 'file', contents: 'x'.repeat(Number(size)) }),
  {
    callId: 'call',
    executionId: 'execution',
    workspace,
    environment: {},
    spawner: createSpawner({ instanceId: 'fixture', onStart: () => undefined, onEnd: () => undefined }),
    signal: new AbortController().signal,
    onOutput: () => undefined,
    limits: {},
    python: { directory: workspace },
  },
);
console.log(JSON.stringify({ output: result.output, left: readdirSync(workspace) }));
