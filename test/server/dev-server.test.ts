// The Temporal dev server as our child: readiness, ports, restart after kill -9, persistence, clear errors.
import { afterAll, describe, expect, test } from 'bun:test';
import { createServer, type Server } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubiyaError } from '../../src/errors.ts';
import type { Spawner } from '../../src/lib/spawn.ts';
import { startDevServer, isPortFree, type DevServer, type DevServerOptions } from '../../src/server/dev-server.ts';
import { agentWorkflowId } from '../../src/protocol/workflow.ts';
import { createTemporal, probeTemporal } from '../../src/server/temporal.ts';
import { createTestSpawner, failureOf, quietLog, temporalExecutable } from './support.ts';

const directory = mkdtempSync(join(tmpdir(), 'kubiya-dev-server-'));
const { spawner, groups } = createTestSpawner();
const servers: DevServer[] = [];

async function start(changes: Partial<DevServerOptions> = {}): Promise<DevServer> {
  const server = await startDevServer({
    executable: await temporalExecutable(),
    port: 0,
    directory,
    spawner,
    log: quietLog,
    environment: { PATH: '/usr/bin:/bin' },
    probe: (address) => probeTemporal({ address, namespace: 'default', isLocal: true }),
    ...changes,
  });
  servers.push(server);
  return server;
}

const temporalAt = (address: string) =>
  createTemporal({ address, namespace: 'default', isLocal: true }, new Uint8Array(32));
const input = (id: string) => ({ execution_id: id, agent_id: 'a', organization_id: '', prompt: 'hello' });

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(directory, { recursive: true, force: true });
});

describe('dev server', () => {
  test('answers when it is started, is gone when it is stopped', async () => {
    const server = await start();
    const temporal = temporalAt(server.address);
    await temporal.start(input('one'), 'queue');
    expect(await temporal.describe(agentWorkflowId('one'))).toEqual({ kind: 'open' });
    await temporal.close();
    await server.stop();
    expect(await server.exited).toEqual({ reason: null });
    expect(groups.size).toBe(0);
  }, 60_000);

  test('a file database survives kill -9 and a stop, and the server comes back on its port', async () => {
    const databaseFile = join(directory, 'temporal.sqlite');
    const server = await start({ databaseFile });
    const temporal = temporalAt(server.address);
    await temporal.start(input('two'), 'queue');
    for (const group of groups) process.kill(-group, 'SIGKILL');
    // The call waits out the restart.
    expect(await temporal.describe(agentWorkflowId('two'))).toEqual({ kind: 'open' });
    await temporal.cancel(agentWorkflowId('two'));
    await temporal.terminate(agentWorkflowId('two'), 'the test is over');
    expect(await temporal.describe(agentWorkflowId('two'))).toMatchObject({ kind: 'closed', status: 'terminated' });
    await temporal.close();
    await server.stop();

    const again = await start({ databaseFile });
    const reopened = temporalAt(again.address);
    expect(await reopened.describe(agentWorkflowId('two'))).toMatchObject({ kind: 'closed', status: 'terminated' });
    await reopened.close();
    await again.stop();
  }, 60_000);

  test('starting an execution twice is one workflow, also when the first has ended', async () => {
    const server = await start();
    const temporal = temporalAt(server.address);
    await temporal.start(input('three'), 'queue');
    await temporal.start(input('three'), 'queue');
    await temporal.terminate(agentWorkflowId('three'), 'ended');
    await temporal.start(input('three'), 'queue');
    expect(await temporal.describe(agentWorkflowId('three'))).toMatchObject({ kind: 'closed' });
    expect(await temporal.describe(agentWorkflowId('unknown'))).toEqual({ kind: 'missing' });
    expect(await failureOf(temporal.signal(agentWorkflowId('unknown'), 'x', {}))).toMatchObject({ kind: 'not_found' });
    await temporal.close();

    const other = createTemporal({ address: server.address, namespace: 'absent', isLocal: true }, new Uint8Array(32));
    expect(await failureOf(other.start(input('four'), 'queue'))).toMatchObject({ kind: 'refused' });
    await other.close();
    await server.stop();
    expect(await failureOf(temporalAt(server.address).describe('three'))).toMatchObject({ kind: 'unavailable' });
  }, 60_000);

  test('a taken port is replaced, or an error when the user chose it', async () => {
    const holder = createServer().listen({ host: '127.0.0.1', port: 0 });
    await new Promise((resolve) => holder.once('listening', resolve));
    const address = holder.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    expect(await isPortFree('127.0.0.1', port)).toBe(false);
    const server = await start({ port });
    expect(server.address).not.toBe(`127.0.0.1:${port}`);
    await server.stop();
    expect(await failureOf(start({ port, isPortExplicit: true }))).toMatchObject({ code: 'port_taken', exitCode: 6 });
    holder.close();
  }, 60_000);

  test('whoever takes the port in the last moment is not mistaken for it, even when it answers', async () => {
    const strangers: Server[] = [];
    const late: Spawner = {
      ...spawner,
      start: async (options) => {
        const port = Number(options.command[options.command.indexOf('--port') + 1]);
        if (strangers.length === 0) {
          const stranger = createServer().listen({ host: '127.0.0.1', port });
          strangers.push(stranger);
          await new Promise((resolve) => stranger.once('listening', resolve));
        }
        return await spawner.start(options);
      },
    };
    const server = await start({ spawner: late, probe: () => Promise.resolve() });
    const taken = strangers.map((stranger) => stranger.address()).map((at) => (typeof at === 'object' ? at?.port : at));
    expect(taken).toHaveLength(1);
    expect(server.address).not.toBe(`127.0.0.1:${taken[0]}`);
    await server.stop();
    for (const stranger of strangers) stranger.close();
  }, 60_000);

  test('a server that cannot start says why, without waiting', async () => {
    const broken = join(directory, 'broken.sqlite');
    writeFileSync(broken, 'this is not a database, and it is long enough to be read as one');
    const before = Date.now();
    const failure = await failureOf(start({ databaseFile: broken }));
    expect(failure).toBeInstanceOf(KubiyaError);
    expect(String(failure)).toContain('file is not a database');
    expect(Date.now() - before).toBeLessThan(20_000);
    expect(await failureOf(start({ executable: join(directory, 'absent') }))).toMatchObject({
      code: 'temporal_dev_server_failed',
    });
    await Promise.all(servers.map((server) => server.stop()));
    expect(groups.size).toBe(0);
  }, 60_000);
});
