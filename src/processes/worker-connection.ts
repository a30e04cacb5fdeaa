// Which control plane a worker uses: the one that is configured, the local one that runs, or one that it runs itself.
import type { Config } from '../config/config.ts';
import { createControlPlaneClient, type ControlPlaneClient } from '../controlplane/client.ts';
import { findConnection } from '../controlplane/local-server.ts';
import { KubiyaError } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { createFetch } from '../lib/network.ts';
import type { InstanceScope } from './instance-scope.ts';
import { startPersistentControlPlane, type LocalControlPlane } from './local-control-plane.ts';
import type { Teardown } from './teardown.ts';
import type { WorkerMetrics } from './worker-metrics.ts';

/** While clients are attached the owner of the local control plane looks this often whether they are done. */
const attachedPollMs = 500;

interface ConnectParts {
  readonly config: Config;
  readonly scope: InstanceScope;
  readonly metrics: WorkerMetrics;
}

export interface Connected {
  readonly client: ControlPlaneClient;
  /** Present when this process runs the local control plane. */
  readonly local: LocalControlPlane | undefined;
}

export async function connect({ config, scope, metrics }: ConnectParts, teardown: Teardown): Promise<Connected> {
  const { log } = scope;
  log.info(config.profile.reason);
  const fetchAsConfigured = createFetch(config.network);
  const clientOf = (url: string, token: string | (() => string)) =>
    createControlPlaneClient({
      url,
      token: typeof token === 'string' ? token : () => registered(token(), scope),
      fetch: fetchAsConfigured,
      log: log.child('controlplane'),
      onTraffic: (bytes) => metrics.countControlPlane(bytes),
    });
  const found = await findConnection(config, fetchAsConfigured);
  if (found !== undefined) {
    if (typeof found.token === 'string') scope.redactor.register(found.token);
    log.info('Using the control plane', { url: found.url, profile: found.kind });
    return { client: clientOf(found.url, found.token), local: undefined };
  }
  const local = await startPersistentControlPlane(config, scope, teardown);
  if (local !== undefined) {
    log.info('Started the local control plane', { url: local.url, temporal: local.temporalAddress });
    return { client: clientOf(local.url, local.token), local };
  }
  // Somebody took the lock between our look and our start: it will answer soon.
  for (let waitedMs = 0; waitedMs < ownerStartMsMax; waitedMs += ownerPollMs) {
    await systemClock.sleep(ownerPollMs);
    const other = await findConnection(config, fetchAsConfigured);
    if (other !== undefined) return { client: clientOf(other.url, other.token), local: undefined };
  }
  throw new KubiyaError('another process holds the local data directory but its server does not answer', {
    kind: 'network',
    code: 'local_server_silent',
    hint: 'see `kubiya server status`; stop that process and start again',
  });
}

/** A key that was rotated is as secret as the one before. */
function registered(token: string, { redactor }: InstanceScope): string {
  redactor.register(token);
  return token;
}

/** A cold start of the dev server on a slow disk takes this long. */
const ownerStartMsMax = 30_000;
const ownerPollMs = 200;

/** The owner of the local control plane stays until nobody else needs it. */
export async function whileAttached(
  local: LocalControlPlane,
  scope: InstanceScope,
  forced: AbortSignal,
): Promise<void> {
  for (let hasSaid = false; !forced.aborted; hasSaid = true) {
    const { liveWorkers, openStreams } = local.activity();
    if (liveWorkers === 0 && openStreams === 0) return;
    if (!hasSaid) {
      scope.log.info('Others still use this local control plane, waiting for them; a third signal leaves at once', {
        workers: liveWorkers,
        streams: openStreams,
      });
    }
    await systemClock.sleep(attachedPollMs);
  }
}
