// A client of the control plane that the configuration means, for every command that talks to one.
import type { Config } from '../config/config.ts';
import { createControlPlaneClient, type ControlPlaneClient } from '../controlplane/client.ts';
import { findConnection } from '../controlplane/local-server.ts';
import { createFetch } from '../lib/network.ts';
import { KubiyaError } from '../errors.ts';

export async function connect(config: Config, signal?: AbortSignal): Promise<ControlPlaneClient> {
  const fetchAsConfigured = createFetch(config.network);
  const connection = await findConnection(config, fetchAsConfigured);
  if (connection !== undefined)
    return createControlPlaneClient({ url: connection.url, token: connection.token, fetch: fetchAsConfigured, signal });
  throw new KubiyaError(`no local server is running, and ${config.profile.reason}`, {
    kind: 'network',
    code: 'server_not_running',
    hint: 'start one with `kubiya server start -d`, use `kubiya exec --local`, or set KUBIYA_API_KEY',
  });
}
