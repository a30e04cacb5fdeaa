// What the programs that record histories share: a home with the known signing key, and how a history is kept.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createHome, type Home } from '../support/binary.ts';
import type { LocalServer } from '../support/local-server.ts';
import { fixtureSigningKey, historiesDirectory } from './fixtures.ts';

export function createRecordingHome(): Home {
  const home = createHome();
  mkdirSync(join(home.kubiyaHome, 'local'), { recursive: true, mode: 0o700 });
  writeFileSync(join(home.kubiyaHome, 'local/signing-key'), Buffer.from(fixtureSigningKey).toString('base64'), {
    mode: 0o600,
  });
  return home;
}

/** `name` with the version in front: a recorded history is never replaced. */
export function saveHistory(home: Home, server: LocalServer, name: string, workflowId: string): void {
  const path = join(historiesDirectory, `${name}.json`);
  if (existsSync(path)) throw new Error(`${path} exists: a recorded history is never replaced, name a new version`);
  const temporal = [...new Bun.Glob('temporal-*').scanSync(join(home.kubiyaHome, 'cache/temporal'))].find(
    (file) => !file.endsWith('.ok'),
  );
  const program = resolve(home.kubiyaHome, 'cache/temporal', temporal ?? '');
  const words = ['workflow', 'show', '--address', server.temporalAddress, '-w', workflowId, '--output', 'json'];
  writeFileSync(path, execFileSync(program, words, { env: { HOME: home.directory } }));
  console.log(path);
}
