// A worker that starts looks after old files by itself, a few seconds after it is ready, and says so in one line.
import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHome } from '../support/binary.ts';
import { startWorkerProcess } from '../support/worker-process.ts';

test('files older than KUBIYA_RETENTION_DAYS are gone soon after the start', async () => {
  const home = createHome();
  try {
    const plans = join(home.kubiyaHome, 'plans');
    mkdirSync(plans, { recursive: true });
    const age = (name: string, days: number): string => {
      const path = join(plans, name);
      writeFileSync(path, '{}');
      const at = new Date(Date.now() - days * 86_400_000);
      utimesSync(path, at, at);
      return path;
    };
    const [old, young] = [age('old.json', 4), age('young.json', 2)];
    const worker = await startWorkerProcess({
      home,
      queue: 'files',
      words: ['--model', 'kubiya/offline'],
      environment: { KUBIYA_RETENTION_DAYS: '3' },
    });
    const [line] = await worker.process.waitFor(/^.*Freed what is no longer needed.*$/m, 20_000);
    expect(JSON.parse(line)).toMatchObject({ component: 'retention', files: 1, workspaces: 0, leftovers: 0 });
    expect([existsSync(old), existsSync(young)]).toEqual([false, true]);
    await worker.process.end('SIGTERM');
    await home.waitUntilEmpty(5_000);
  } finally {
    home.remove();
  }
}, 60_000);
