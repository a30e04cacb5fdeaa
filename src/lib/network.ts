// How the network settings of the user apply to every connection: which proxy, if any, and which certificate authorities.
import { BlockList, isIP } from 'node:net';
import { rootCertificates } from 'node:tls';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';
import { readTextFile } from './bounded-file.ts';
import { isLoopback } from './loopback.ts';

export interface NetworkSettings {
  /** URLs with a scheme, and with credentials where the proxy wants them. */
  readonly httpProxy: string | undefined;
  readonly httpsProxy: string | undefined;
  readonly noProxy: string | undefined;
  /** PEM of authorities that are trusted besides the usual ones. */
  readonly caFile: string | undefined;
}

/** `fetch` without Bun's extra members, so that a test or a wrapper is a plain function. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** A request that failed on its way through a proxy; which of the two is to blame, its code does not tell. */
export class ProxiedError extends Error {
  override readonly name = 'ProxiedError';
  readonly code: string;
  /** `host:port` */
  readonly proxy: string;

  constructor(proxy: string, code: string, cause: unknown) {
    super(messageOf(cause), { cause });
    this.code = code;
    this.proxy = new URL(proxy).host;
  }
}

/** Codes of Bun, Node and OpenSSL for a certificate that leads to no authority that is trusted. */
export function isCertificateCode(code: string): boolean {
  return /CERT|SELF_SIGNED|VERIFY|ERR_TLS/.test(code);
}

/**
 * A fetch that goes the way the settings say. It overrides what the runtime makes of the same variables, so that NO_PROXY means
 * one thing everywhere. Node's fetch knows neither option: there the runtime's own variables decide.
 */
export function createFetch(settings: NetworkSettings): Fetch {
  let authorities: string | undefined;
  return async (url, init) => {
    const proxy = proxyFor(settings, url);
    // An SSL_CERT_FILE that is long gone is no reason to fail where no certificate is looked at.
    const needsAuthorities = settings.caFile !== undefined && (url.startsWith('https:') || proxy?.startsWith('https:'));
    if (needsAuthorities === true) authorities ??= readAuthorities(settings);
    try {
      // `false` is what Bun takes for "none"; its types only know the address of a proxy.
      const way = { proxy: proxy ?? false, ...(authorities === undefined ? {} : { tls: { ca: authorities } }) };
      return await fetch(url, { ...init, ...way } as unknown as RequestInit);
    } catch (error) {
      const code = errnoOf(error);
      throw proxy === undefined || code === undefined ? error : new ProxiedError(proxy, code, error);
    }
  };
}

/** The proxy for a URL, with its credentials; undefined means none. Nothing on this machine's loopback is behind a proxy. */
export function proxyFor(settings: NetworkSettings, url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, hostname, port } = new URL(url);
  const proxy = protocol === 'https:' ? settings.httpsProxy : settings.httpProxy;
  if (proxy === undefined || isLoopback(url)) return undefined;
  const actualPort = port === '' ? (protocol === 'https:' ? '443' : '80') : port;
  return isExcluded(bare(hostname), actualPort, settings.noProxy ?? '') ? undefined : proxy;
}

/** The usual authorities and those of the file, as one PEM text; undefined when no file is named. Throws when it cannot be used. */
export function readAuthorities({ caFile }: Pick<NetworkSettings, 'caFile'>): string | undefined {
  if (caFile === undefined) return undefined;
  let text: string;
  try {
    text = readTextFile(caFile);
    if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new Error('it holds no certificate in PEM form');
  } catch (error) {
    throw new KubiyaError(`the file of certificate authorities ${caFile} cannot be used: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'ca_file_unreadable',
      hint: 'correct KUBIYA_CA_FILE or SSL_CERT_FILE',
      cause: error,
    });
  }
  return [...rootCertificates, text].join('\n');
}

/** NO_PROXY as curl reads it: `*`, a host with all below it, `host:port`; and address ranges, as Go reads it. */
function isExcluded(host: string, port: string, noProxy: string): boolean {
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      if (entry.includes('/')) return isInRange(host, entry);
      const [, name = '', entryPort] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [undefined, entry];
      if (entryPort !== undefined && entryPort !== port) return false;
      const domain = bare(name).replace(/^\*?\./, '');
      return domain !== '' && (host === domain || host.endsWith(`.${domain}`));
    });
}

function isInRange(host: string, range: string): boolean {
  const [network = '', bits = ''] = range.split('/');
  const family = isIP(host);
  const length = Number(bits);
  if (family === 0 || family !== isIP(bare(network)) || !/^\d+$/.test(bits) || length > (family === 4 ? 32 : 128))
    return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(bare(network), length, type);
  return list.check(host, type);
}

/** A host name in lower case, an IPv6 address without its brackets, no dot at the end. */
function bare(host: string): string {
  return host
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
}
