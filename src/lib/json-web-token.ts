// What a token says about itself. Nothing is verified here: whoever accepts the token does that.

/** The payload of a JSON Web Token; undefined when the text is none. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  const [, payload, signature, ...rest] = token.split('.');
  if (payload === undefined || signature === undefined || rest.length > 0) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    return typeof claims === 'object' && claims !== null && !Array.isArray(claims) ? { ...claims } : undefined;
  } catch {
    // Three parts with dots between them, and still something else.
    return undefined;
  }
}

/** Epoch milliseconds after which it is refused; undefined when it is no such token or never ends. */
export function expiryMsOf(token: string): number | undefined {
  const expiry = claimsOf(token)?.['exp'];
  return typeof expiry === 'number' && Number.isFinite(expiry) ? expiry * 1000 : undefined;
}
