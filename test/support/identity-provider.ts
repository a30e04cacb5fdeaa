// An identity provider over real HTTP: takes the code that a test hands out, checks PKCE, and answers as it is told.
import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface TokenRequest {
  readonly parameters: URLSearchParams;
  readonly contentType: string | undefined;
}

export interface IdentityProvider {
  readonly url: string;
  readonly requests: readonly TokenRequest[];
  /** The claims of the next token, beside those that make it valid. */
  claims: Record<string, unknown>;
  /** Answers the next token requests instead. */
  override: ((response: ServerResponse) => void) | undefined;
  /** What a browser is sent back with after somebody has signed in at the printed address. */
  signIn(authorizationUrl: string): { readonly redirect: URL; readonly code: string };
  stop(): Promise<void>;
}

/** Three parts with dots between them; nobody verifies the last. */
export function tokenOf(claims: Record<string, unknown>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.c2lnbmF0dXJl`;
}

export async function startIdentityProvider(): Promise<IdentityProvider> {
  const requests: TokenRequest[] = [];
  const logins = new Map<string, URLSearchParams>();
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const parameters = new URLSearchParams(body);
      requests.push({ parameters, contentType: request.headers['content-type'] });
      if (provider.override !== undefined) return provider.override(response);
      const login = logins.get(parameters.get('code') ?? '');
      logins.delete(parameters.get('code') ?? '');
      const challenge = createHash('sha256')
        .update(parameters.get('code_verifier') ?? '')
        .digest('base64url');
      const isRight =
        request.url === '/oauth/token' &&
        parameters.get('grant_type') === 'authorization_code' &&
        parameters.get('redirect_uri') === login?.get('redirect_uri') &&
        parameters.get('client_id') === login?.get('client_id') &&
        challenge === login?.get('code_challenge');
      response.writeHead(isRight ? 200 : 400, { 'content-type': 'application/json' });
      const claims = {
        sub: 'auth0|1',
        nonce: login?.get('nonce'),
        aud: login?.get('client_id'),
        exp: Math.floor(Date.now() / 1000) + 3600,
        ...provider.claims,
      };
      response.end(
        JSON.stringify(isRight ? { id_token: tokenOf(claims), access_token: 'other' } : { error: 'invalid_grant' }),
      );
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const provider: IdentityProvider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    claims: {},
    override: undefined,
    signIn: (authorizationUrl) => {
      const { searchParams } = new URL(authorizationUrl);
      const code = `code-${logins.size}-${requests.length}`;
      logins.set(code, searchParams);
      const redirect = new URL(searchParams.get('redirect_uri') ?? '');
      redirect.searchParams.set('code', code);
      redirect.searchParams.set('state', searchParams.get('state') ?? '');
      return { redirect, code };
    },
    stop: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
  return provider;
}
