// The user's network settings for the connections to Temporal, which are not HTTP requests of ours.
import type { Config } from '../config/config.ts';
import { proxyFor, readAuthorities } from '../lib/network.ts';
import type { TemporalAddress } from '../worker/deps.ts';

/** PEM of the authorities to trust; undefined when KUBIYA_CA_FILE and SSL_CERT_FILE are not set. */
export function caCertificateOf({ network }: Pick<Config, 'network'>): Buffer | undefined {
  const authorities = readAuthorities(network);
  return authorities === undefined ? undefined : Buffer.from(authorities);
}

/** The HTTP CONNECT proxy of HTTPS_PROXY for `host:port`, unless NO_PROXY names it. */
export function proxyOf({ network }: Pick<Config, 'network'>, address: string): TemporalAddress['proxy'] {
  const proxy = proxyFor(network, `https://${address}`);
  if (proxy === undefined) return undefined;
  const url = new URL(proxy);
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  const user =
    url.username === '' ? {} : { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  return { address: `${url.hostname}:${port}`, ...user };
}
