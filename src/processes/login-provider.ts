// The identity provider: where a person signs in, and how the code that comes back becomes a token (OAuth 2.0 with PKCE, RFC 7636).
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { LoginConfig } from '../config/config.ts';
import { networkError } from '../controlplane/failures.ts';
import { KubiyaError } from '../errors.ts';
import { claimsOf } from '../lib/json-web-token.ts';
import type { Fetch } from '../lib/network.ts';
import { plain } from './login-callback.ts';

/** A provider answers within a second; its hosting cuts at 30. */
const exchangeTimeoutMs = 30_000;
/** Three tokens of a few kB; more is not an answer. */
const answerBytesMax = 256 * 1024;
/** Clocks of machines that are looked after differ by less. */
const clockSkewMs = 60_000;

/** One login, from its beginning to its token. */
export interface LoginAttempt extends LoginConfig {
  readonly redirectUri: string;
  /** Comes back with the redirect: it is the answer to this login. */
  readonly state: string;
  /** Comes back inside the token: it was made for this login. */
  readonly nonce: string;
  /** Only who has it can use the code. */
  readonly codeVerifier: string;
}

export interface IdentityToken {
  readonly raw: string;
  readonly expiryMs: number;
  readonly subject: string | undefined;
  readonly email: string | undefined;
  readonly organization: string | undefined;
}

export function authorizationUrl(attempt: LoginAttempt): string {
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: attempt.clientId,
    redirect_uri: attempt.redirectUri,
    scope: 'openid profile email',
    audience: attempt.audience,
    state: attempt.state,
    nonce: attempt.nonce,
    code_challenge: createHash('sha256').update(attempt.codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  return `${attempt.issuer}/authorize?${query.toString()}`;
}

/** Sends once: a code works only once. Rejects with a KubiyaError. */
export async function exchangeCode(
  attempt: LoginAttempt,
  code: string,
  fetchToken: Fetch,
  timeoutMs = exchangeTimeoutMs,
): Promise<IdentityToken> {
  const { status, text } = await post(attempt, code, fetchToken, timeoutMs);
  const answer = answerOf(text);
  if (status >= 500) {
    throw new KubiyaError(`${attempt.issuer} is not able to answer (${status})`, {
      kind: 'network',
      code: `http_${status}`,
      hint: 'run `kubiya login` again in a moment',
      isRetryable: true,
    });
  }
  if (status !== 200) {
    const reason = plain(answer?.error_description ?? answer?.error ?? `status ${status}`);
    throw refused(`the identity provider refused the login: ${reason}`, 'login_refused');
  }
  if (answer?.id_token === undefined) throw refused(`the answer of ${attempt.issuer} holds no token`, 'bad_answer');
  return checked(answer.id_token, attempt);
}

async function post(
  { issuer, clientId, redirectUri, codeVerifier }: LoginAttempt,
  code: string,
  fetchToken: Fetch,
  timeoutMs: number,
): Promise<{ readonly status: number; readonly text: string }> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetchToken(`${issuer}/oauth/token`, {
      method: 'POST',
      headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        client_id: clientId,
        redirect_uri: redirectUri,
        code,
        code_verifier: codeVerifier,
      }).toString(),
      redirect: 'error',
      signal,
    });
    return { status: response.status, text: await boundedText(response) };
  } catch (error) {
    if (error instanceof KubiyaError) throw error;
    throw networkError(issuer, error, signal.aborted ? timeoutMs : undefined);
  }
}

async function boundedText(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  // The types of a body's iterator differ between runtimes.
  for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    parts.push(part);
    bytes += part.length;
    if (bytes > answerBytesMax) break;
  }
  return Buffer.concat(parts).toString('utf8');
}

const answerSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    id_token: v.optional(v.string()),
    error: v.optional(v.string()),
    error_description: v.optional(v.string()),
  }),
);

function answerOf(text: string): v.InferOutput<typeof answerSchema> | undefined {
  const parsed = v.safeParse(answerSchema, text);
  return parsed.success ? parsed.output : undefined;
}

/**
 * That the token was made for this login and is valid now. Its signature is not verified: it comes straight from the provider's
 * token endpoint over TLS, which OpenID Connect Core §3.1.3.7 takes as proof of who made it.
 */
function checked(raw: string, attempt: LoginAttempt): IdentityToken {
  const claims = claimsOf(raw);
  const { nonce, exp, aud } = claims ?? {};
  if (claims === undefined) throw refused(`the token of ${attempt.issuer} cannot be read`, 'bad_answer');
  if (nonce !== attempt.nonce) throw refused('the token was made for another login', 'token_invalid');
  if (![aud].flat().includes(attempt.clientId))
    throw refused('the token was made for another program', 'token_invalid');
  if (typeof exp !== 'number') throw refused('the token does not say until when it is valid', 'token_invalid');
  if (exp * 1000 + clockSkewMs <= Date.now())
    throw refused('the token is over already; the clock of this machine may be wrong', 'token_invalid');
  return {
    raw,
    expiryMs: exp * 1000,
    subject: textOf(claims['sub']),
    email: textOf(claims['email']),
    organization: organizationOf(claims),
  };
}

/** Claims of a provider's own rules have a URL in front. */
function organizationOf(claims: Readonly<Record<string, unknown>>): string | undefined {
  const namespaced = Object.keys(claims).find((name) => name.endsWith('/organization'));
  return textOf(claims['organization']) ?? textOf(claims['org_name']) ?? textOf(claims[namespaced ?? '']);
}

/** For the context file and a terminal. */
function textOf(value: unknown): string | undefined {
  const text = typeof value === 'string' ? plain(value) : '';
  return text === '' ? undefined : text;
}

function refused(message: string, code: string): KubiyaError {
  return new KubiyaError(message, { kind: 'authentication', code, hint: 'run `kubiya login` again' });
}
