// `kubiya server start|stop|status`: the local control plane as a process of its own.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { prepareHome } from '../config/paths.ts';
import { createControlPlaneClient } from '../controlplane/client.ts';
import { findLocalServer, type LocalServer } from '../controlplane/local-server.ts';
import { KubiyaError } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { isSameProcess, processStartTime } from '../lib/process-tree.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { createSpawner } from '../lib/spawn.ts';
import { createInstanceScope, ownExecutable } from './instance-scope.ts';
import { startPersistentControlPlane } from './local-control-plane.ts';
import type { ProcessIo } from './process-io.ts';
import { installSignals } from './signals.ts';
import { createTeardown } from './teardown.ts';

/** Extracting and starting Temporal for the first time on a slow disk. */
const backgroundReadyMs = 60_000;
/** Streams end, the store is written out, Temporal closes its database: 12 s and some reserve. */
const stopLimitMs = 25_000;
const pollMs = 100;
const statusTimeoutMs = 3_000;

const logFileOf = (config: Config): string => join(config.paths.logsDirectory, 'server.log');

/** Runs until a signal. Throws a KubiyaError when it could not start. */
export async function runServerProcess(config: Config, io: ProcessIo): Promise<number> {
  prepareHome(config.paths);
  ensureSecureDirectory(config.paths.logsDirectory);
  const signals = installSignals();
  const scope = await createInstanceScope({
    config,
    component: 'kubiya',
    logFile: logFileOf(config),
    stderr: io.isTty && io.hasColour !== false ? 'colour' : 'plain',
  });
  const teardown = createTeardown(() => scope.log);
  teardown.add('guardian', 2_000, () => scope.guardian.stop());
  try {
    const controlPlane = await startPersistentControlPlane(config, scope, teardown);
    if (controlPlane === undefined) throw alreadyRunning(await findLocalServer(config.paths));
    scope.log.info('Ready', {
      url: controlPlane.url,
      temporal: controlPlane.temporalAddress,
      token_file: config.paths.localTokenFile,
    });
    const stopped = new Promise<number>((resolve) => {
      signals.onSignal((count, name) => {
        if (count === 1) scope.log.info(`${name}: stopping; a second signal leaves at once`);
        resolve(count === 1 ? 0 : 130);
      });
    });
    const failed = controlPlane.failed.then((reason) => {
      scope.log.error('Temporal could not be kept alive', { reason });
      return 1;
    });
    return await Promise.race([stopped, failed]);
  } finally {
    const left = new Promise<void>((resolve) => signals.onSignal((count) => count >= 2 && resolve()));
    await Promise.race([teardown.run(), left]);
    signals.dispose();
    scope.log.info('Stopped');
    scope.log.close();
  }
}

/** Starts it detached and returns when it answers; on failure nothing is left and the reason is in the error. */
export async function startServerInBackground(config: Config, argv: readonly string[]): Promise<LocalServer> {
  prepareHome(config.paths);
  ensureSecureDirectory(config.paths.logsDirectory);
  const existing = await findLocalServer(config.paths);
  if (existing !== undefined) throw alreadyRunning(existing);
  const spawner = createSpawner({ instanceId: 'server-start', onStart: () => undefined, onEnd: () => undefined });
  const child = await spawner.start({
    command: [...ownExecutable(), ...argv],
    cwd: config.paths.home,
    // It is ourselves again: it gets all that we were given, not what a tool may see.
    environment: definedOnly(config.childEnvironmentBase.reveal()),
  });
  const ended = child.exited.then(({ code }) => `the server ended with exit code ${code ?? 'unknown'}`);
  const outcome = await Promise.race([ended, readyServer(config, child.pid)]);
  if (typeof outcome === 'object') return outcome;
  await child.stop({ graceMs: stopLimitMs });
  throw new KubiyaError(outcome ?? 'the server did not become ready in time', {
    kind: 'configuration',
    code: 'server_not_ready',
    hint: `see ${logFileOf(config)}, or start it in the foreground with \`kubiya server start\``,
  });
}

async function readyServer(config: Config, pid: number): Promise<LocalServer | undefined> {
  for (let waitedMs = 0; waitedMs < backgroundReadyMs; waitedMs += pollMs) {
    const server = await findLocalServer(config.paths);
    if (server?.record.pid === pid) return server;
    await systemClock.sleep(pollMs);
  }
  return undefined;
}

/** Where it runs and what it holds; undefined when none runs. */
export async function serverStatus(config: Config): Promise<Readonly<Record<string, unknown>> | undefined> {
  const server = await findLocalServer(config.paths);
  if (server === undefined) return undefined;
  const client = createControlPlaneClient({ url: server.url, token: server.token });
  const status = await client
    .getServerStatus({ timeoutMs: statusTimeoutMs, attemptsMax: 1 })
    .catch((error: unknown) => {
      // An older server, or one that is busy: that it runs is known all the same.
      if (error instanceof KubiyaError) return {};
      throw error;
    });
  return { ...server.record, ...status };
}

/** Returns when it is gone. False when none ran. */
export async function stopServer(config: Config): Promise<boolean> {
  const server = await findLocalServer(config.paths);
  if (server === undefined) return false;
  // The record was confirmed by an answer on its port just now; the start time guards the wait against a reused pid.
  const { pid } = server.record;
  const startTime = processStartTime(pid);
  if (startTime === null) return false;
  process.kill(pid, 'SIGTERM');
  for (let waitedMs = 0; waitedMs < stopLimitMs; waitedMs += pollMs) {
    if (!isSameProcess(pid, startTime) && !existsSync(config.paths.localServerRecordFile)) return true;
    await systemClock.sleep(pollMs);
  }
  throw new KubiyaError(`the server (pid ${pid}) has not stopped within ${stopLimitMs / 1000} s`, {
    kind: 'timeout',
    code: 'server_stop_timeout',
    hint: 'a worker may still be draining in the same process; look at its log, or end it with a second signal',
  });
}

function definedOnly(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function alreadyRunning(server: LocalServer | undefined): KubiyaError {
  const where = server === undefined ? '' : ` at ${server.url} (pid ${server.record.pid})`;
  return new KubiyaError(`a local control plane already runs${where}`, {
    kind: 'usage',
    code: 'server_already_running',
    hint: 'use it as it is, stop it with `kubiya server stop`, or give another --data-dir',
  });
}
