// A fetch that trusts the certificate authorities of a file (KUBIYA_CA_FILE), for every client of the control plane.
import { readFileSync } from 'node:fs';
import { KubiyaError, messageOf } from '../errors.ts';
import type { Fetch } from './transport.ts';

/** Bun's fetch trusts the system's authorities; with a CA file it trusts those in the file instead, as curl does. */
export function trustingFetch(caFile: string | undefined): Fetch | undefined {
  if (caFile === undefined) return undefined;
  let ca: string | undefined;
  return (url, init) => {
    // SSL_CERT_FILE may name a file that is long gone: no reason to fail where no certificate is looked at.
    if (!url.startsWith('https:')) return fetch(url, init);
    ca ??= readAuthorities(caFile);
    return fetch(url, { ...init, tls: { ca } } as RequestInit);
  };
}

function readAuthorities(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new KubiyaError(`the certificate file ${path} cannot be read: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'ca_file_unreadable',
      hint: 'correct KUBIYA_CA_FILE or SSL_CERT_FILE',
      cause: error,
    });
  }
}
