// `kubiya login`: a person signs in at the identity provider in a browser, and the token becomes that of a context.
import { randomBytes } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { KubiyaError } from '../errors.ts';
import { createFetch } from '../lib/network.ts';
import { openBrowser } from './browser.ts';
import { changeContexts } from './contexts.ts';
import { type Callback, listenForCallback, readCallback } from './login-callback.ts';
import { authorizationUrl, exchangeCode, type IdentityToken, type LoginAttempt } from './login-provider.ts';

/** As long as the existing command line waits; a person looks for a password and a second factor. */
const loginTimeoutMs = 5 * 60_000;
/** 256 bits each: nobody guesses one within the limit. */
const randomBytesCount = 32;

export interface LoginIo {
  writeLine(line: string): void;
  /** False prints the address only. */
  readonly mayOpenBrowser: boolean;
  /** What a person pastes whose browser runs on another machine; absent without a terminal. */
  readonly pasted: AsyncIterable<string> | undefined;
}

export interface LoginResult {
  readonly context: string;
  readonly user: string;
  readonly organization: string | undefined;
  readonly expiresAt: Date;
}

/** Rejects with a KubiyaError; then nothing is stored. */
export async function logIn(config: Config, io: LoginIo): Promise<LoginResult> {
  const { login } = config;
  const attempt: LoginAttempt = {
    ...login,
    redirectUri: `http://127.0.0.1:${login.port}/callback`,
    state: randomText(),
    nonce: randomText(),
    codeVerifier: randomText(),
  };
  await using listener = await listenForCallback({ port: login.port, state: attempt.state });
  const url = authorizationUrl(attempt);
  io.writeLine(`sign in at ${url}`);
  if (io.mayOpenBrowser && !(await openBrowser(url, config)))
    io.writeLine('no browser could be opened here: open that address yourself');
  const callback = await firstCallback(listener.received, attempt, io);
  try {
    const token = await exchangeCode(attempt, callback.code, createFetch(config.network));
    const result = await store(config, token);
    await callback.answer('You are signed in. This page can be closed.');
    return result;
  } catch (error) {
    await callback.answer('The login has failed. The terminal says why.');
    throw error;
  }
}

function randomText(): string {
  return randomBytes(randomBytesCount).toString('base64url');
}

/** The redirect of a browser on this machine or the address that a person pastes, whichever comes first. */
async function firstCallback(received: Promise<Callback>, { state }: LoginAttempt, io: LoginIo): Promise<Callback> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(
        new KubiyaError(`nobody has signed in within ${loginTimeoutMs / 60_000} minutes`, {
          kind: 'timeout',
          code: 'login_timeout',
          hint: 'run `kubiya login` again',
        }),
      );
    }, loginTimeoutMs);
  });
  const ways = [received, timeout];
  if (io.pasted !== undefined) {
    io.writeLine('if that browser is on another machine, paste the address here that it ends at');
    ways.push(pastedCallback(io.pasted, state, io));
  }
  try {
    return await Promise.race(ways);
  } finally {
    clearTimeout(timer);
  }
}

async function pastedCallback(lines: AsyncIterable<string>, state: string, io: LoginIo): Promise<Callback> {
  for await (const line of lines) {
    const text = line.trim();
    if (text === '') continue;
    const callback = readCallback(text, state);
    if (callback.kind === 'failed') throw callback.error;
    if (callback.kind === 'code') return { code: callback.code, answer: () => Promise.resolve() };
    io.writeLine(`that is not the address: ${callback.reason}`);
  }
  // The terminal is closed for input; the browser may still come.
  return await new Promise<never>(() => undefined);
}

async function store(config: Config, token: IdentityToken): Promise<LoginResult> {
  const { controlPlane } = config;
  const context = config.context ?? token.organization ?? 'kubiya';
  const user = token.email ?? token.subject ?? context;
  await changeContexts(config, (contexts) => {
    const url = controlPlane.isUrlExplicit ? controlPlane.url : undefined;
    contexts.set(context, { url, user, token: token.raw, organization: token.organization });
    contexts.use(context);
  });
  return { context, user, organization: token.organization, expiresAt: new Date(token.expiryMs) };
}

/** Takes the token out of the context that is meant. `hadToken` is false when there was nothing to take. */
export async function logOut(config: Config): Promise<{ readonly context: string; readonly hadToken: boolean }> {
  return await changeContexts(config, (contexts) => {
    const context = config.context ?? contexts.current();
    if (context === undefined) {
      throw new KubiyaError('no context is the current one, so there is nobody to log out', {
        kind: 'configuration',
        code: 'context_missing',
        hint: 'name one with --context; `kubiya config get-contexts` lists them',
      });
    }
    return { context, hadToken: contexts.removeToken(context) };
  });
}
