// A client of the control plane that the configuration means, for every command that talks to one.
import { readFileSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { createControlPlaneClient, type ControlPlaneClient } from '../controlplane/client.ts';
import { findConnection } from '../controlplane/local-server.ts';
import type { Fetch } from '../controlplane/transport.ts';
import { KubiyaError, messageOf } from '../errors.ts';

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

/** Bun's fetch trusts the system's authorities; with a CA file it trusts those in the file, as curl does. */
function trustingFetch(caFile: string | undefined): Fetch | undefined {
  if (caFile === undefined) return undefined;
  let ca: string;
  try {
    ca = readFileSync(caFile, 'utf8');
  } catch (error) {
    throw new KubiyaError(`the certificate file ${caFile} cannot be read: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'ca_file_unreadable',
      hint: 'correct KUBIYA_CA_FILE or SSL_CERT_FILE',
      cause: error,
    });
  }
  return (url, init) => fetch(url, { ...init, tls: { ca } });
}
