// How the control plane says no, turned into one sentence with a kind, a code and a hint.
import { KubiyaError, type ErrorKind, messageOf } from '../errors.ts';
import { isLoopback } from '../lib/loopback.ts';
import { isCertificateCode, ProxiedError } from '../lib/network.ts';

/** Long HTML error pages of proxies are not for a terminal. */
const detailCharactersMax = 300;

/** These statuses come from something in front of the server or from its restart: the same request may succeed. */
const retryableStatuses: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** The refusal in an answer that is not 2xx. Reads the body. */
export async function refusal(url: string, response: Response): Promise<KubiyaError> {
  const body = parseBody(await response.text().catch(() => ''));
  const detail = sentenceOf(body) ?? `${response.status} ${response.statusText}`.trim();
  const kind = kindOf(response.status);
  const theirs = textOf(body['hint']) ?? textOf(recordOf(body['detail'])['hint']);
  // A server tells a program how to send a key; a person has to find out which key was sent.
  const hint = response.status === 401 ? hintOf(401) : (theirs ?? hintOf(response.status));
  const isRetryable = body['retryable'] === true || retryableStatuses.has(response.status);
  return new KubiyaError(sentenceFor(url, response.status, detail), {
    kind,
    code: textOf(body['code']) ?? codeOf(response.status),
    // A list of field problems is all there is to say of a wrong request; saying it twice helps nobody.
    hint: hint === detail ? undefined : hint,
    isRetryable,
  });
}

function sentenceFor(url: string, status: number, detail: string): string {
  if (status === 407) return `the proxy on the way to ${url} did not accept its credentials`;
  return kindOf(status) === 'network' ? `${url} is not able to answer: ${detail}` : detail;
}

/** A request that got no answer at all. `timeoutMs` is given when our own limit ended it. */
export function networkError(url: string, error: unknown, timeoutMs?: number): KubiyaError {
  const code = textOf(recordOf(error)['code']) ?? textOf(recordOf(recordOf(error)['cause'])['code']) ?? '';
  if (isCertificateCode(code)) {
    return new KubiyaError(`the certificate of ${url} is not trusted (${code})`, {
      kind: 'network',
      code: 'certificate_untrusted',
      hint: 'set KUBIYA_CA_FILE to the PEM file of your certificate authority',
      cause: error,
    });
  }
  const way = error instanceof ProxiedError ? ` (through the proxy ${error.proxy})` : '';
  const reason = timeoutMs === undefined ? reasonOf(code, error) + way : `no answer within ${timeoutMs / 1000} s`;
  return new KubiyaError(`could not reach ${url}: ${reason}`, {
    kind: 'network',
    code: 'unreachable',
    hint: isLoopback(url)
      ? 'start a local server with `kubiya server start`'
      : 'check the URL (`kubiya config show`), the network and the proxy settings',
    isRetryable: true,
    cause: error,
  });
}

/** Bun and Node name the same failure differently; their codes are stable, their messages are not. */
function reasonOf(code: string, error: unknown): string {
  switch (code) {
    case 'ConnectionRefused':
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ConnectionClosed':
    case 'ECONNRESET':
    case 'UND_ERR_SOCKET':
      return 'the connection was closed';
    case 'FailedToOpenSocket':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host was not found';
    case 'UnexpectedRedirect':
      return 'it redirects elsewhere';
    default:
      return messageOf(error);
  }
}

function kindOf(status: number): ErrorKind {
  if (status === 401 || status === 403) return 'authentication';
  // 407 is the proxy's; the server has not been asked.
  return status === 407 || (status >= 500 && retryableStatuses.has(status)) ? 'network' : 'api_refused';
}

function codeOf(status: number): string {
  switch (status) {
    case 401:
      return 'unauthorized';
    case 403:
      return 'forbidden';
    case 404:
      return 'not_found';
    case 409:
      return 'conflict';
    case 422:
      return 'invalid_request';
    case 407:
      return 'proxy_unauthorized';
    case 429:
      return 'rate_limited';
    default:
      return `http_${status}`;
  }
}

function hintOf(status: number): string | undefined {
  switch (status) {
    case 401:
      return 'check KUBIYA_API_KEY or run `kubiya login`; `kubiya config show` says where the key comes from';
    case 403:
      return 'this key is valid but may not do that';
    case 407:
      return 'check the user name and the password in HTTP_PROXY and HTTPS_PROXY';
    case 429:
      return 'wait a moment and try again';
    default:
      return undefined;
  }
}

/** FastAPI's three shapes of `detail`: a text, an object with `message`, a list of field problems. */
function sentenceOf(body: Record<string, unknown>): string | undefined {
  const detail = body['detail'];
  if (Array.isArray(detail)) {
    const problems = detail.map((entry) => {
      const { loc, msg } = recordOf(entry);
      const field = Array.isArray(loc) ? loc.filter((part) => part !== 'body').join('.') : '';
      return field === '' ? String(msg) : `${field}: ${String(msg)}`;
    });
    return shorten(problems.join('; '));
  }
  const nested = recordOf(detail);
  return shorten(
    textOf(detail) ??
      textOf(nested['message']) ??
      textOf(nested['error']) ??
      textOf(body['message']) ??
      textOf(body['error']),
  );
}

function parseBody(text: string): Record<string, unknown> {
  try {
    return recordOf(JSON.parse(text));
  } catch {
    // A proxy's page or plain text: the status line says more than its markup.
    return text.startsWith('<') ? {} : { detail: text };
  }
}

function shorten(text: string | undefined): string | undefined {
  if (text === undefined || text.trim() === '') return undefined;
  const line = text.trim().replace(/\s+/g, ' ').replace(/\.$/, '');
  return line.length > detailCharactersMax ? `${line.slice(0, detailCharactersMax)}…` : line;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
