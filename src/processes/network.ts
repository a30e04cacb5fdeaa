// How the network settings of the user apply to connections that are not HTTP: the own certificate authority and the proxy.
import { readFileSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { errnoOf, KubiyaError } from '../errors.ts';
import type { TemporalAddress } from '../worker/deps.ts';

/** PEM of KUBIYA_CA_FILE or SSL_CERT_FILE; undefined when none is set. */
export function caCertificateOf(config: Pick<Config, 'network'>): Buffer | undefined {
  const { caFile } = config.network;
  if (caFile === undefined) return undefined;
  try {
    return readFileSync(caFile);
  } catch (error) {
    const reason = errnoOf(error) ?? 'unknown error';
    throw new KubiyaError(`the certificate authority file ${caFile} cannot be read (${reason})`, {
      kind: 'configuration',
      code: 'ca_file_unreadable',
      hint: 'correct KUBIYA_CA_FILE or SSL_CERT_FILE',
      cause: error,
    });
  }
}

/** The HTTP CONNECT proxy of HTTPS_PROXY for `host:port`, unless NO_PROXY names it. */
export function proxyOf(config: Pick<Config, 'network'>, address: string): TemporalAddress['proxy'] {
  const { httpsProxy, noProxy } = config.network;
  if (httpsProxy === undefined || isExcluded(address, noProxy ?? '')) return undefined;
  const url = new URL(httpsProxy);
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  const user =
    url.username === '' ? {} : { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  return { address: `${url.hostname}:${port}`, ...user };
}

function isExcluded(address: string, noProxy: string): boolean {
  const host = address.slice(0, address.lastIndexOf(':')).toLowerCase();
  return noProxy
    .split(',')
    .map((entry) =>
      entry
        .trim()
        .toLowerCase()
        .replace(/^\*?\./, ''),
    )
    .some((entry) => entry === '*' || (entry !== '' && [host, address].includes(entry)) || host.endsWith(`.${entry}`));
}
