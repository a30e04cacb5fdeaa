// The embedded control plane with its Temporal server: the persistent one of ~/.kubiya/local and the private one of exec --local.
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { systemClock } from '../lib/clock.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { findLocalServer, type LocalServerRecord } from '../controlplane/local-server.ts';
import { ensureDevServer } from '../server/dev-server-asset.ts';
import { startDevServer, type DevServer } from '../server/dev-server.ts';
import { compactIfSparse } from '../server/store/snapshot.ts';
import { startControlPlane, type ControlPlane, type ControlPlaneActivity } from '../server/start.ts';
import { probeTemporal, type TemporalTarget } from '../server/temporal.ts';
import { acquireLock, type Lock } from '../supervisor/lock.ts';
import { version } from '../version.ts';
import type { InstanceScope } from './instance-scope.ts';
import { caCertificateOf, proxyOf } from './network.ts';
import { plannerModelOf } from './planner-model.ts';
import type { Teardown } from './teardown.ts';

export interface LocalControlPlane {
  readonly url: string;
  readonly token: string;
  readonly temporalAddress: string;
  activity(): ControlPlaneActivity;
  /** Resolves with the reason when Temporal could not be kept alive. */
  readonly failed: Promise<string>;
}

const defaultNamespace = 'default';
/** SIGTERM to the dev server takes up to 3.3 s with a database to close, 8 s before SIGKILL. */
const devServerStopMs = 12_000;
const controlPlaneStopMs = 5_000;

/** Throw-away: everything in memory, random ports, a token nobody else sees. Steps to undo it go into `teardown`. */
export async function startPrivateControlPlane(
  config: Config,
  scope: InstanceScope,
  directory: string,
  teardown: Teardown,
): Promise<LocalControlPlane> {
  const token = newToken();
  scope.redactor.register(token);
  const devServer = await launchDevServer(config, scope, { directory, port: 0, databaseFile: undefined }, teardown);
  const temporal: TemporalTarget = { address: devServer.address, namespace: defaultNamespace, isLocal: true };
  const controlPlane = await startControlPlane({
    host: '127.0.0.1',
    port: 0,
    isPortExplicit: false,
    token,
    signingKey: randomBytes(signingKeyBytes),
    databasePath: ':memory:',
    temporal,
    log: scope.log.child('server'),
    version,
    instanceId: scope.instanceId,
    clock: systemClock,
    findPlannerModel: plannerModelOf(config),
  });
  teardown.add('control plane', controlPlaneStopMs, () => controlPlane.stop());
  return handleOf(controlPlane, token, temporal.address, devServer);
}

/** The one of this data directory, held by a lock. Undefined when another process holds it. */
export async function startPersistentControlPlane(
  config: Config,
  scope: InstanceScope,
  teardown: Teardown,
): Promise<LocalControlPlane | undefined> {
  const { server, paths } = config;
  ensureDirectory(server.dataDirectory);
  const lock = lockDataDirectory(server.dataDirectory, scope.instanceId);
  if (lock === undefined) return undefined;
  teardown.add('lock of the data directory', 1_000, () => lock.release());
  const token = server.token?.reveal() ?? keptSecret(paths.localTokenFile, newToken);
  scope.redactor.register(token);
  const signingKey = Buffer.from(
    keptSecret(paths.localSigningKeyFile, () => randomBytes(signingKeyBytes).toString('base64')),
    'base64',
  );
  const host = server.host;
  const controlPlaneDatabase = join(server.dataDirectory, 'control-plane.db');
  compactIfSparse(controlPlaneDatabase);
  const { temporal, devServer } = await temporalOf(config, scope, teardown);
  const controlPlane = await startControlPlane({
    host,
    port: server.port,
    isPortExplicit: server.isPortExplicit,
    token,
    signingKey,
    databasePath: controlPlaneDatabase,
    temporal,
    temporalDatabasePath: devServer === undefined ? undefined : temporalDatabaseOf(server.dataDirectory),
    advertisedHost: server.advertise,
    advertisedTemporalAddress:
      server.advertise === undefined || devServer === undefined
        ? undefined
        : `${server.advertise}:${portOf(temporal.address)}`,
    log: scope.log.child('server'),
    version,
    instanceId: scope.instanceId,
    clock: systemClock,
    findPlannerModel: plannerModelOf(config),
  });
  teardown.add('control plane', controlPlaneStopMs, () => controlPlane.stop());
  await announce(config, scope, { port: controlPlane.port, token }, teardown);
  return handleOf(controlPlane, token, temporal.address, devServer);
}

/** Lets the commands of this user find the server by itself, unless they have found another one (of another --data-dir). */
async function announce(
  { server, paths }: Config,
  scope: InstanceScope,
  { port, token }: { readonly port: number; readonly token: string },
  teardown: Teardown,
): Promise<void> {
  const url = `http://${reachableHost(server.host)}:${port}`;
  const other = await findLocalServer(paths);
  if (other !== undefined) {
    const fields = { other: other.url };
    scope.log.info('Commands go on using the local server that ran before; CONTROL_PLANE_URL names this one', fields);
    return;
  }
  const record: LocalServerRecord = {
    url,
    pid: process.pid,
    instance_id: scope.instanceId,
    started_at: new Date().toISOString(),
    version,
  };
  ensureSecureDirectory(paths.localDirectory);
  writeFileAtomic(paths.localServerRecordFile, `${JSON.stringify(record, null, 2)}\n`);
  if (server.token !== undefined) writeFileAtomic(paths.localTokenFile, `${token}\n`);
  teardown.add('record of the server', 1_000, () => rmSync(paths.localServerRecordFile, { force: true }));
}

/** A server that listens everywhere is reached on loopback; one that listens on an address only there. */
function reachableHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

/** The Temporal of the configuration, else a dev server of our own. */
async function temporalOf(
  config: Config,
  scope: InstanceScope,
  teardown: Teardown,
): Promise<{ temporal: TemporalTarget; devServer: DevServer | undefined }> {
  const { temporal: external, dataDirectory, host } = config.server;
  if (external !== undefined) {
    const { address, namespace, apiKey, isTls } = external;
    const authority = isTls ? caCertificateOf(config) : undefined;
    const tls = authority === undefined ? isTls : { serverRootCa: authority.toString('utf8') };
    const proxy = proxyOf(config, address);
    const target: TemporalTarget = { address, namespace, apiKey: apiKey?.reveal(), tls, proxy, isLocal: false };
    // It may come later, and executions wait for it; but a wrong address is better said now.
    void probeTemporal(target).catch((error: unknown) =>
      scope.log.warn('Temporal does not answer, so executions wait', { address, namespace, reason: messageOf(error) }),
    );
    return { temporal: target, devServer: undefined };
  }
  const databaseFile = temporalDatabaseOf(dataDirectory);
  const freed = compactIfSparse(databaseFile);
  if (freed > 0) scope.log.info('The room of deleted histories was given back', { bytes: freed });
  const portFile = join(dataDirectory, 'temporal-port');
  const place = { directory: dataDirectory, port: lastPort(portFile) ?? defaultTemporalPort, databaseFile, host };
  const devServer = await launchDevServer(config, scope, place, teardown);
  writeFileAtomic(portFile, `${portOf(devServer.address)}\n`);
  return { temporal: { address: devServer.address, namespace: defaultNamespace, isLocal: true }, devServer };
}

const temporalDatabaseOf = (dataDirectory: string): string => join(dataDirectory, 'temporal.db');
const signingKeyBytes = 32;
const defaultTemporalPort = 7233;

/** Workers that outlive this server know Temporal by its port, so the next server takes the same one if it can. */
function lastPort(file: string): number | undefined {
  try {
    const port = Number(readFileSync(file, 'utf8'));
    return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
  } catch {
    return undefined; // the first start
  }
}

interface DevServerPlace {
  readonly directory: string;
  readonly port: number;
  readonly databaseFile: string | undefined;
  readonly host?: string;
}

async function launchDevServer(
  config: Config,
  scope: InstanceScope,
  place: DevServerPlace,
  teardown: Teardown,
): Promise<DevServer> {
  const executable = await ensureDevServer(config.paths.cacheDirectory, {
    searchPath: scope.environment['PATH'],
    mustVerify: config.mustVerifyCache,
  });
  const devServer = await startDevServer({
    executable,
    port: place.port,
    host: place.host,
    databaseFile: place.databaseFile,
    directory: place.directory,
    spawner: scope.spawner,
    log: scope.log.child('temporal'),
    environment: { PATH: scope.environment['PATH'] ?? '', HOME: place.directory },
    probe: (address) => probeTemporal({ address, namespace: defaultNamespace, isLocal: true }),
  });
  teardown.add('Temporal dev server', devServerStopMs, () => devServer.stop());
  return devServer;
}

function handleOf(
  controlPlane: ControlPlane,
  token: string,
  temporalAddress: string,
  devServer: DevServer | undefined,
): LocalControlPlane {
  const failed = new Promise<string>((resolve) => {
    void devServer?.exited.then(({ reason }) => reason !== null && resolve(reason));
  });
  return { url: controlPlane.url, token, temporalAddress, activity: () => controlPlane.activity(), failed };
}

const newToken = (): string => `kubiya_${randomBytes(24).toString('base64url')}`;
const portOf = (address: string): string => address.slice(address.lastIndexOf(':') + 1);

function ensureDirectory(path: string): void {
  try {
    ensureSecureDirectory(path);
  } catch (error) {
    throw new KubiyaError(`the data directory ${path} cannot be used (${errnoOf(error) ?? 'refused'})`, {
      kind: 'configuration',
      code: 'data_directory_unusable',
      hint: 'choose another with --data-dir or KUBIYA_HOME',
      cause: error,
    });
  }
}

function lockDataDirectory(directory: string, instanceId: string): Lock | undefined {
  const result = acquireLock(join(directory, 'server.lock'), { instanceId });
  return result.kind === 'acquired' ? result.lock : undefined;
}

/** A secret that is made once and kept owner-only. */
function keptSecret(path: string, create: () => string): string {
  try {
    const kept = readFileSync(path, 'utf8').trim();
    if (kept !== '') return kept;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  const secret = create();
  ensureSecureDirectory(join(path, '..'));
  writeFileAtomic(path, `${secret}\n`);
  return secret;
}
