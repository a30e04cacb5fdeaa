// The file of KUBIYA_API_KEY_FILE changes while the client works.
import { expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createControlPlaneClient } from '../../../src/controlplane/client.ts';
import { findConnection } from '../../../src/controlplane/local-server.ts';
import { startScriptedControlPlane } from '../../support/scripted-control-plane.ts';

test('the key file is read again: a new key goes on at once, a file that is missing or broken changes nothing', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'kubiya-key-'));
  const file = join(directory, 'key');
  let wanted = 'key-one';
  const plane = await startScriptedControlPlane({
    override: ({ headers }) =>
      headers.authorization === `Bearer ${wanted}`
        ? { status: 200, body: [] }
        : { status: 401, body: { detail: 'no' } },
  });
  // As Kubernetes keeps a secret: a link to a link to a directory that is exchanged as a whole.
  const exchange = (name: string, key: string): void => {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, 'key'), key);
    symlinkSync(name, join(directory, '..data_tmp'));
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
  };
  exchange('..1', 'key-one\n');
  symlinkSync(join('..data', 'key'), file);
  const connection = await findConnection({
    profile: { kind: 'cloud' },
    controlPlane: { url: plane.url, isUrlExplicit: true, token: { reveal: () => 'key-one' }, tokenFile: file },
    paths: { localServerRecordFile: join(directory, 'server.json'), localTokenFile: join(directory, 'token') },
  });
  if (connection === undefined) throw new Error('there is a key');
  const client = createControlPlaneClient({ url: plane.url, token: connection.token });
  expect(await client.listAgents()).toEqual([]);
  for (const broken of ['', '\n', 'half a', 'ke\u0000y']) {
    writeFileSync(join(directory, '..1', 'key'), broken);
    expect(await client.listAgents()).toEqual([]);
  }
  rmSync(join(directory, '..1', 'key'));
  expect(await client.listAgents()).toEqual([]);
  exchange('..2', 'key-two\r\n');
  wanted = 'key-two';
  expect(await client.listAgents()).toEqual([]);
  wanted = 'key-three';
  expect(await client.listAgents().catch((error: unknown) => error)).toMatchObject({ kind: 'authentication' });
  exchange('..3', 'key-three');
  expect(await client.listAgents()).toEqual([]);
  rmSync(directory, { recursive: true });
  await plane.stop();
});
