// Registers a worker with its control plane, and makes a session of what the answer says.
import type { Config } from '../config/config.ts';
import type { ControlPlaneClient } from '../controlplane/client.ts';
import { KubiyaError } from '../errors.ts';
import { backoffDelayMs } from '../lib/backoff.ts';
import { systemClock } from '../lib/clock.ts';
import { isLoopback } from '../lib/loopback.ts';
import { machineIdentity } from '../lib/process-tree.ts';
import type { WorkerStartResponse } from '../protocol/control-plane.ts';
import type { ProviderCredentials } from '../protocol/providers.ts';
import { ownIdentity } from '../supervisor/instance.ts';
import type { Log } from '../telemetry/log.ts';
import type { SystemInfoCollector } from '../telemetry/system-info.ts';
import { version } from '../version.ts';
import type { TemporalAddress } from '../worker/deps.ts';
import { journalIdentity } from '../worker/sole-journal.ts';
import { caCertificateOf, proxyOf } from './network.ts';

export interface RegistrationOptions {
  readonly config: Config;
  readonly client: ControlPlaneClient;
  readonly queue: { readonly id: string };
  readonly journalDirectory: string;
  readonly systemInfo: SystemInfoCollector;
}

/** A worker that cannot register at its start is of no use; a server that restarts is back by then. */
const attemptsMax = 8;
const backoff = { firstMs: 500, mostMs: 10_000 };
const timeoutMs = 15_000;

/** Once. Rejects with what the control plane says, or the signal's reason. */
export function registerOnce(options: RegistrationOptions, signal: AbortSignal): Promise<WorkerStartResponse> {
  const { client, queue, config, journalDirectory, systemInfo } = options;
  return client.startQueue(
    queue.id,
    {
      worker_sdk_version: version,
      system_info: systemInfo.collect(),
      control_plane_url: client.url,
      journal_id: journalIdentity(journalDirectory),
      ...(config.worker.isOnce ? { single_execution: true } : {}),
      // A server on this machine can see by it that the worker is gone, long before its heartbeats are missed.
      ...(isLoopback(client.url) ? { process: { ...ownIdentity(), machine: machineIdentity() } } : {}),
    },
    { attemptsMax: 1, timeoutMs, signal },
  );
}

/** For as long as a server may be restarting. */
export async function register(
  options: RegistrationOptions,
  log: Log,
  signal: AbortSignal,
): Promise<WorkerStartResponse> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await registerOnce(options, signal);
    } catch (error) {
      if (!isPassing(error) || attempt >= attemptsMax || signal.aborted) throw error;
      const delayMs = backoffDelayMs(attempt, backoff);
      log.warn('Registration failed and is tried again', { attempt, delay_ms: delayMs, reason: error.message });
      await systemClock.sleep(delayMs, signal);
    }
  }
}

/** Also a bare 500: registering twice does no harm, and nobody is waiting for the answer. */
function isPassing(error: unknown): error is KubiyaError {
  return (
    error instanceof KubiyaError && (error.kind === 'network' || error.isRetryable || /^http_5\d\d$/.test(error.code))
  );
}

/** The queue is gone, or somebody else's: what an ephemeral queue answers when its worker has lost it. */
export function isRefusedForGood(error: unknown): error is KubiyaError {
  return error instanceof KubiyaError && /not_found$|^queue_(full|claimed)$|^conflict$|^http_410$/.test(error.code);
}

export function temporalOf(config: Config, registration: WorkerStartResponse): TemporalAddress {
  const apiKey = registration.temporal_api_key || undefined;
  const caCertificate = caCertificateOf(config);
  const proxy = registration.is_local === true ? undefined : proxyOf(config, registration.temporal_host);
  return {
    address: registration.temporal_host,
    namespace: registration.temporal_namespace,
    isTls: apiKey !== undefined || registration.temporal_tls === true,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(caCertificate === undefined ? {} : { caCertificate }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

/** The user's own variables beat what registration hands out. */
export function credentialsOf(config: Config, registration: WorkerStartResponse): ProviderCredentials {
  const own = config.providers.reveal();
  if (own.LITELLM_API_BASE !== undefined || !registration.litellm_api_url || !registration.litellm_api_key) return own;
  return { ...own, LITELLM_API_BASE: registration.litellm_api_url, LITELLM_API_KEY: registration.litellm_api_key };
}
