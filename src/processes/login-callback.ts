// The loopback address that the identity provider sends the browser back to: one answer with the right state, and nothing else.
import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { errnoOf, KubiyaError } from '../errors.ts';

/** A browser that follows a redirect sends its headers at once. */
const requestTimeoutMs = 10_000;
/** More than this is not the text of an identity provider. */
const reasonCharactersMax = 300;

export interface Callback {
  readonly code: string;
  /** Fills the page that the browser waits for. */
  answer(sentence: string): Promise<void>;
}

export interface CallbackListener extends AsyncDisposable {
  /** Rejects with a KubiyaError when the provider says no. */
  readonly received: Promise<Callback>;
}

export type ReadCallback =
  | { readonly kind: 'code'; readonly code: string }
  | { readonly kind: 'failed'; readonly error: KubiyaError }
  /** From somebody else, or mistyped: the login goes on. */
  | { readonly kind: 'ignored'; readonly reason: string };

/** Listens on 127.0.0.1 only. Rejects with a KubiyaError when the port is taken. */
export async function listenForCallback(options: {
  readonly port: number;
  readonly state: string;
}): Promise<CallbackListener> {
  const { port, state } = options;
  let resolve: (callback: Callback) => void = () => undefined;
  let reject: (error: KubiyaError) => void = () => undefined;
  const received = new Promise<Callback>((onCode, onError) => {
    resolve = onCode;
    reject = onError;
  });
  // The login may have come to its end another way.
  received.catch(() => undefined);
  let isOver = false;
  const server = createServer((request, response) => {
    const problem = refusalOf(request, port);
    if (problem !== undefined) return void respond(response, problem.status, problem.sentence);
    const callback = readCallback(`http://127.0.0.1:${port}${request.url ?? ''}`, state);
    if (callback.kind === 'ignored')
      return void respond(response, 400, `This is not the login that was begun: ${callback.reason}.`);
    if (isOver) return void respond(response, 409, 'This login is over.');
    isOver = true;
    if (callback.kind === 'code') {
      return resolve({ code: callback.code, answer: (sentence) => respond(response, 200, sentence) });
    }
    void respond(response, 200, 'The login has failed. The terminal says why.').then(() => reject(callback.error));
  });
  server.requestTimeout = requestTimeoutMs;
  server.headersTimeout = requestTimeoutMs;
  await listen(server, port);
  return {
    received,
    [Symbol.asyncDispose]: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/** An address as the provider makes it, or a code alone as some of its pages show it. The state is compared in constant time. */
export function readCallback(text: string, state: string): ReadCallback {
  // A code alone is bound to this login by the verifier and the nonce.
  if (/^[\w-]{8,}$/.test(text)) return { kind: 'code', code: text };
  if (!URL.canParse(text)) return { kind: 'ignored', reason: 'it is no URL' };
  const parameters = new URL(text).searchParams;
  const given = Buffer.from(parameters.get('state') ?? '');
  const wanted = Buffer.from(state);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    return { kind: 'ignored', reason: 'its state is another one' };
  const error = parameters.get('error');
  if (error !== null) return { kind: 'failed', error: denied(error, parameters.get('error_description')) };
  const code = parameters.get('code');
  return code === null || code === '' ? { kind: 'ignored', reason: 'it has no code' } : { kind: 'code', code };
}

function denied(error: string, description: string | null): KubiyaError {
  return new KubiyaError(`the identity provider refused the login: ${plain(description || error)}`, {
    kind: 'authentication',
    code: 'login_denied',
    hint: 'run `kubiya login` again, with another account where this one has no access',
  });
}

/** Words of somebody else for a terminal: one line without control characters. */
export function plain(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
  return line.length > reasonCharactersMax ? `${line.slice(0, reasonCharactersMax)}…` : line;
}

/** A page of another site may send requests here, by its own name for this machine or with other methods. */
function refusalOf(
  { method, url = '', headers }: IncomingMessage,
  port: number,
): { readonly status: number; readonly sentence: string } | undefined {
  if (headers.host !== `127.0.0.1:${port}`) return { status: 421, sentence: 'Nothing is served under this name.' };
  if (url !== '/callback' && !url.startsWith('/callback?')) return { status: 404, sentence: 'Nothing is here.' };
  return method === 'GET' ? undefined : { status: 405, sentence: 'Only GET is answered.' };
}

function respond(response: ServerResponse, status: number, sentence: string): Promise<void> {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    connection: 'close',
  });
  return new Promise((done) => {
    // Also a browser that has gone away is an end.
    response.once('close', () => done());
    response.end(`<!doctype html>\n<html lang="en">\n<title>kubiya</title>\n<p>${sentence}</p>\n</html>\n`, () =>
      done(),
    );
  });
}

async function listen(server: Server, port: number): Promise<void> {
  try {
    await new Promise<void>((done, fail) => {
      server.once('error', fail);
      server.listen({ host: '127.0.0.1', port, exclusive: true }, done);
    });
  } catch (error) {
    const isTaken = errnoOf(error) === 'EADDRINUSE';
    const reason = isTaken ? 'is taken' : `cannot be used (${errnoOf(error) ?? 'unknown error'})`;
    throw new KubiyaError(`the port ${port} of this machine ${reason}, and the identity provider answers only there`, {
      kind: 'configuration',
      code: 'login_port_taken',
      hint: isTaken ? 'end the other login or the program that listens there, then log in again' : undefined,
      cause: error,
    });
  }
}
