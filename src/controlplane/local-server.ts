// Finds the control plane to talk to: the cloud's, the one that was named, or the local server that runs on this machine.
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';
import { readTextFile } from '../lib/bounded-file.ts';
import { directIfLoopback } from '../lib/loopback.ts';
import type { Fetch } from '../lib/network.ts';
import { healthSchema } from '../protocol/control-plane.ts';

/** A server on this machine answers in milliseconds; one that is starved for a second is not there for a command. */
const healthTimeoutMs = 2_000;

/** `~/.kubiya/local/server.json`, written by the process that runs the server when it is ready, removed when it stops. */
export const localServerRecordSchema = v.object({
  url: v.pipe(v.string(), v.url()),
  pid: v.number(),
  instance_id: v.string(),
  /** RFC 3339 with zone. */
  started_at: v.string(),
  version: v.string(),
});
export type LocalServerRecord = v.InferOutput<typeof localServerRecordSchema>;

export interface LocalServer {
  readonly record: LocalServerRecord;
  readonly url: string;
  readonly token: string;
}

export interface LocalServerFiles {
  readonly localServerRecordFile: string;
  readonly localTokenFile: string;
}

/** The running local server, or undefined when none answers (a record alone proves nothing: its owner may have been killed). */
export async function findLocalServer(
  files: LocalServerFiles,
  fetchHealth: Fetch = fetch,
): Promise<LocalServer | undefined> {
  const text = readIfThere(files.localServerRecordFile);
  const token = readIfThere(files.localTokenFile)?.trim();
  const record = text === undefined ? undefined : parseRecord(text);
  if (record === undefined || token === undefined || token === '') return undefined;
  const url = record.url.replace(/\/+$/, '');
  try {
    const signal = AbortSignal.timeout(healthTimeoutMs);
    const response = await fetchHealth(`${url}/health`, { signal, redirect: 'error', ...directIfLoopback(url) });
    const health = v.safeParse(healthSchema, await response.json());
    // Another server may have got the port of one that was killed; neither our token nor a signal is meant for it.
    return health.success && health.output.instance_id === record.instance_id ? { record, url, token } : undefined;
  } catch {
    // Nobody answers there, or no server of ours: the record is a left-over.
    return undefined;
  }
}

/** The part of a Config that decides where to connect. */
export interface ConnectionSettings {
  readonly profile: { readonly kind: 'cloud' | 'local' };
  readonly controlPlane: {
    readonly url: string;
    readonly isUrlExplicit: boolean;
    readonly token: { reveal(): string } | undefined;
    readonly tokenFile: string | undefined;
  };
  readonly paths: LocalServerFiles;
}

export interface Connection {
  readonly kind: 'cloud' | 'local';
  readonly url: string;
  /** For createControlPlaneClient: with a token file, a function that reads it again. */
  readonly token: string | (() => string);
}

/** Where to connect; undefined in the local profile when no local server runs. Throws when a URL was named without a key. */
export async function findConnection(
  settings: ConnectionSettings,
  fetchHealth?: Fetch,
): Promise<Connection | undefined> {
  const { url, token, tokenFile, isUrlExplicit } = settings.controlPlane;
  if (settings.profile.kind === 'cloud' && token !== undefined) {
    return {
      kind: 'cloud',
      url,
      token: tokenFile === undefined ? token.reveal() : tokenReader(tokenFile, token.reveal()),
    };
  }
  const server = await findLocalServer(settings.paths, fetchHealth);
  if (!isUrlExplicit || server?.url === url) {
    return server === undefined ? undefined : { kind: 'local', url: server.url, token: server.token };
  }
  throw new KubiyaError(`no API key is set for ${url}`, {
    kind: 'authentication',
    code: 'api_key_missing',
    hint: 'set KUBIYA_API_KEY or KUBIYA_API_KEY_FILE, or leave the URL out to use a local server',
  });
}

/**
 * Reads the key file each time it is asked, so that a rotation needs no restart. While the file is missing, empty or half written,
 * as it may be in the moment of a rotation, the last good key goes on.
 */
function tokenReader(path: string, initial: string): () => string {
  let last = initial;
  return () => {
    try {
      const text = readTextFile(path).trim();
      if (/^[\x21-\x7e]+$/.test(text)) last = text;
    } catch {
      // The control plane says whether the last one is still good.
    }
    return last;
  };
}

function parseRecord(text: string): LocalServerRecord | undefined {
  try {
    return v.parse(localServerRecordSchema, JSON.parse(text));
  } catch {
    // Half a file or somebody else's: the same as no record.
    return undefined;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw new KubiyaError(`${path} cannot be read: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'file_unreadable',
      hint: 'check the owner and the permissions of that file',
      cause: error,
    });
  }
}
