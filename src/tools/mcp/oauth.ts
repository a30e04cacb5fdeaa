// Tokens for servers behind OAuth, without a person: client credentials, an identity provider that vouches, or a server that asks nobody.
import type * as Library from '@modelcontextprotocol/client';
import type {
  OAuthClientProvider,
  StoredOAuthClientInformation,
  StoredOAuthTokens,
} from '@modelcontextprotocol/client';
import type { McpOAuth } from '../../protocol/mcp.ts';

export interface OAuthSession {
  readonly provider: OAuthClientProvider;
  /** What the authorization server sent back, once it has; each is given once. */
  takeAnswer(): URLSearchParams | undefined;
}

/** Nobody listens there: the answer is read from the redirect itself. */
const redirectUrl = 'http://127.0.0.1:3000/callback';
const clientName = 'kubiya';

/** The authorization server wants to see a person. */
export class SignInNeededError extends Error {
  override readonly name = 'SignInNeededError';
}

/** `visit` answers like fetch with `redirect: 'manual'`. */
export function createOAuthProvider(
  library: typeof Library,
  oauth: McpOAuth,
  visit: (url: string) => Promise<Response>,
): OAuthSession {
  if (oauth.grant === 'authorization_code') return authorizationCode(oauth, visit);
  if (oauth.grant === 'cross_app_access') return crossAppAccess(library, oauth);
  const common = {
    clientId: oauth.client_id ?? '',
    clientName,
    ...(oauth.scope === undefined ? {} : { scope: oauth.scope }),
    ...(oauth.issuer === undefined ? {} : { expectedIssuer: oauth.issuer }),
  };
  // Without an issuer the credentials go to the one that the server names, whom the user trusts as far as the server.
  const provider =
    oauth.private_key === undefined
      ? // oxlint-disable-next-line no-deprecated -- an issuer is asked for where there may be several
        new library.ClientCredentialsProvider({ ...common, clientSecret: oauth.client_secret ?? '' })
      : // oxlint-disable-next-line no-deprecated -- as above
        new library.PrivateKeyJwtProvider({ ...common, privateKey: oauth.private_key, algorithm: oauth.algorithm });
  return { provider, takeAnswer: () => undefined };
}

/** The identity provider turns the person's ID token into a grant for this server, and its authorization server that into a token. */
function crossAppAccess(library: typeof Library, oauth: McpOAuth): OAuthSession {
  // oxlint-disable-next-line no-deprecated -- an issuer is asked for where there may be several
  const provider = new library.CrossAppAccessProvider({
    assertion: async ({ authorizationServerUrl, resourceUrl, scope, fetchFn }) => {
      const request = {
        audience: authorizationServerUrl,
        resource: resourceUrl,
        idToken: oauth.id_token ?? '',
        clientId: oauth.idp_client_id ?? '',
        ...(oauth.idp_client_secret === undefined ? {} : { clientSecret: oauth.idp_client_secret }),
        ...(scope === undefined ? {} : { scope }),
        fetchFn,
      };
      const { idp_token_endpoint: tokenEndpoint, idp_url: idpUrl } = oauth;
      const { jwtAuthGrant } =
        tokenEndpoint === undefined
          ? await library.discoverAndRequestJwtAuthGrant({ ...request, idpUrl: idpUrl ?? '' })
          : await library.requestJwtAuthorizationGrant({ ...request, tokenEndpoint });
      return jwtAuthGrant;
    },
    clientId: oauth.client_id ?? '',
    clientSecret: oauth.client_secret ?? '',
    clientName,
    ...(oauth.issuer === undefined ? {} : { expectedIssuer: oauth.issuer }),
  });
  return { provider, takeAnswer: () => undefined };
}

function authorizationCode(oauth: McpOAuth, visit: (url: string) => Promise<Response>): OAuthSession {
  let client: StoredOAuthClientInformation | undefined =
    oauth.client_id === undefined
      ? undefined
      : {
          client_id: oauth.client_id,
          ...(oauth.client_secret === undefined ? {} : { client_secret: oauth.client_secret }),
        };
  let tokens: StoredOAuthTokens | undefined;
  let verifier = '';
  let answer: URLSearchParams | undefined;
  const provider: OAuthClientProvider = {
    redirectUrl,
    ...(oauth.client_metadata_url === undefined ? {} : { clientMetadataUrl: oauth.client_metadata_url }),
    clientMetadata: {
      client_name: clientName,
      redirect_uris: [redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      ...(oauth.scope === undefined ? {} : { scope: oauth.scope }),
    },
    clientInformation: () => client,
    saveClientInformation: (information) => void (client = information),
    tokens: () => tokens,
    saveTokens: (saved) => void (tokens = saved),
    saveCodeVerifier: (saved) => void (verifier = saved),
    codeVerifier: () => verifier,
    redirectToAuthorization: async (url) => {
      const response = await visit(url.href);
      await response.body?.cancel();
      const location = response.headers.get('location');
      const target = location === null ? undefined : new URL(location, url);
      if (target === undefined || !target.href.startsWith(redirectUrl)) {
        throw new SignInNeededError('its authorization server wants a person to sign in; a worker has no browser');
      }
      answer = target.searchParams;
    },
    invalidateCredentials: (scope) => {
      if (scope === 'all' || scope === 'tokens') tokens = undefined;
      if ((scope === 'all' || scope === 'client') && oauth.client_id === undefined) client = undefined;
    },
  };
  const takeAnswer = (): URLSearchParams | undefined => {
    const taken = answer;
    answer = undefined;
    return taken;
  };
  return { provider, takeAnswer };
}
