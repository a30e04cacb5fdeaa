// Who may ask: one token, in every spelling that clients of the control plane use, compared in constant time.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';

/** Paths that tell nothing and work without a token. */
const openPaths: ReadonlySet<string> = new Set(['/health', '/api/health', '/api/ready', '/api/openapi.json']);

/** Deliveries of webhooks are signed instead (webhooks.ts). */
const signedPaths = /^\/api\/v1\/webhooks\/[^/]+$/;

export const isSignedInstead = (method: string, path: string): boolean => method === 'POST' && signedPaths.test(path);

/** Answers 401 to everything else without the token. An empty token lets nobody in. */
export function requireToken(token: string): MiddlewareHandler {
  const expected = digest(token);
  return async (context, next) => {
    const given = tokenOf(context.req.header('authorization') ?? context.req.header('userkey'));
    const isAllowed = token !== '' && given !== '' && timingSafeEqual(digest(given), expected);
    const { method, path } = context.req;
    if (isAllowed || openPaths.has(path) || isSignedInstead(method, path)) return next();
    const message = given === '' ? 'No token was sent' : 'The token is not the one of this server';
    const hint = 'send "Authorization: Bearer <token>"; the token of a local server is in its data directory';
    const detail = { error: 'Unauthorized', message, hint };
    return context.json({ detail, code: 'unauthorized', hint }, 401, { 'WWW-Authenticate': 'Bearer' });
  };
}

/** `Bearer x`, `UserKey x`, the mis-spelt `Baerer x` of old clients, or the bare token. */
function tokenOf(header: string | undefined): string {
  return (header ?? '').trim().replace(/^(bearer|baerer|userkey)\s+/i, '');
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
