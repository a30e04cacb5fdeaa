// The models of a worker, reached with its own keys or with those of its latest registration.
import type { Config } from '../config/config.ts';
import { createModelClient, discoverProvider, resolveModel } from '../gateway/providers.ts';
import { createFetch } from '../lib/network.ts';
import type { WorkerStartResponse } from '../protocol/control-plane.ts';
import type { ModelClient } from '../protocol/model.ts';
import { credentialsOf } from './registration.ts';
import type { WorkerHost } from './worker-deps.ts';

export interface SessionModels extends Pick<WorkerHost, 'models' | 'defaultModel' | 'checkModel'> {
  /** Where models are reached when the control plane names it; undefined with keys of the user's own. */
  gatewayAddress(): string | undefined;
  /** Later calls are made with what this registration says; those that run keep what they began with. */
  adopt(registration: WorkerStartResponse): void;
}

export function createSessionModels(config: Config, registration: WorkerStartResponse): SessionModels {
  const fetchAsConfigured = createFetch(config.network);
  let credentials = credentialsOf(config, registration);
  let client: ModelClient = createModelClient(credentials, fetchAsConfigured);
  return {
    models: { complete: (request, onDelta, signal) => client.complete(request, onDelta, signal) },
    defaultModel: (signal) => discoverProvider(credentials, signal, fetchAsConfigured),
    checkModel: (model) => void resolveModel(model, credentials, fetchAsConfigured),
    gatewayAddress: () => (credentials === config.providers.reveal() ? undefined : credentials.LITELLM_API_BASE),
    adopt: (next) => {
      credentials = credentialsOf(config, next);
      client = createModelClient(credentials, fetchAsConfigured);
    },
  };
}
