// A client of the control plane that the configuration means, for every command that talks to one.
import type { Config } from '../config/config.ts';
import { createControlPlaneClient, type ControlPlaneClient } from '../controlplane/client.ts';
import { findConnection } from '../controlplane/local-server.ts';
import { trustingFetch } from '../controlplane/trust.ts';
import { KubiyaError } from '../errors.ts';

export async function connect(config: Config, signal?: AbortSignal): Promise<ControlPlaneClient> {
  const fetchWithCa = trustingFetch(config.network.caFile);
  const connection = await findConnection(config, fetchWithCa);
  if (connection !== undefined)
    return createControlPlaneClient({ url: connection.url, token: connection.token, fetch: fetchWithCa, signal });
  throw new KubiyaError(`no local server is running, and ${config.profile.reason}`, {
    kind: 'network',
    code: 'server_not_running',
    hint: 'start one with `kubiya server start -d`, use `kubiya exec --local`, or set KUBIYA_API_KEY',
  });
}
