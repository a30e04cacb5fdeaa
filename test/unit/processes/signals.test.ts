// Stop signals are taken and counted, except those that whoever started the process had ignored (Linux tells).
import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const fixture = join(import.meta.dirname, '../../fixtures/processes/stop-signals.ts');

async function linesAfter(prefix: string, signals: readonly NodeJS.Signals[]): Promise<string[]> {
  const child = spawn('/bin/sh', ['-c', `${prefix} exec "$0" "$1"`, process.execPath, fixture], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8');
  for await (const chunk of child.stdout as AsyncIterable<string>) {
    text += chunk;
    if (text !== 'listening\n') continue;
    for (const signal of signals) {
      child.kill(signal);
      await Bun.sleep(50);
    }
  }
  return text.trim().split('\n').slice(1);
}

test('every stop signal is a rung', async () => {
  expect(await linesAfter('', ['SIGHUP', 'SIGINT', 'SIGTERM'])).toEqual(['1 SIGHUP', '2 SIGINT', '3 SIGTERM']);
});

test('what nohup and & ignore stays ignored', async () => {
  expect(await linesAfter("trap '' HUP INT;", ['SIGHUP', 'SIGINT', 'SIGTERM'])).toEqual(['1 SIGTERM']);
});
