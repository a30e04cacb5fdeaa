// Where a saved plan comes from: a file, a URL, or a file of a repository on GitHub.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Config } from '../../config/config.ts';
import { parsePlan, planBytesMax, readPlan } from '../../config/plans.ts';
import { KubiyaError, messageOf } from '../../errors.ts';
import { directIfLoopback, isLoopback } from '../../lib/loopback.ts';
import { createFetch } from '../../lib/network.ts';
import type { SavedPlan } from '../../protocol/planner.ts';
import { usage } from '../flags.ts';

/** A file of this size comes in a second; a person waits no longer for one. */
const downloadLimitMs = 30_000;
const gitHubRaw = 'https://raw.githubusercontent.com';

export interface LoadedPlan {
  readonly saved: SavedPlan;
  /** The file in which its execution is noted; undefined when it came over the network. */
  readonly path: string | undefined;
}

export async function loadPlan(source: string, config: Config, cwd: string): Promise<LoadedPlan> {
  const path = resolve(cwd, source);
  const url = planUrlOf(source);
  if (url === undefined || existsSync(path)) return { saved: readPlan(path), path };
  const saved = parsePlan(await download(url, config), url);
  // What somebody else's file says about an approval is not this person's.
  return { saved: { ...saved, approved: false }, path: undefined };
}

/** Undefined for a path. `user/repo//dir/plan.json@branch` takes the branch, else the default one. */
export function planUrlOf(source: string): string | undefined {
  if (/^https?:\/\//i.test(source)) return source;
  const match = /^([\w.-]+)\/([\w.-]+)\/\/([^@]+)(?:@(.+))?$/.exec(source);
  if (match === null) return undefined;
  const [, user = '', repository = '', path = '', reference = 'HEAD'] = match;
  const segments = [user, repository, ...reference.split('/'), ...path.split('/')];
  if (segments.some((segment) => segment === '.' || segment === '..' || segment === '')) return undefined;
  return `${gitHubRaw}/${segments.map(encodeURIComponent).join('/')}`;
}

async function download(url: string, config: Config): Promise<string> {
  if (!URL.canParse(url)) throw usage(`${url} is no URL`, 'plan_url_invalid');
  const { protocol, username } = new URL(url);
  // A plan names what is run: nobody on the way may change it, or read a password.
  if (protocol !== 'https:' && !isLoopback(url))
    throw usage(`the plan ${url} would come unencrypted`, 'plan_url_insecure', 'use https://');
  if (username !== '') throw usage('the URL of a plan must not hold a user name', 'plan_url_invalid');
  const fail = (reason: string, cause?: unknown): KubiyaError =>
    new KubiyaError(`the plan ${url} could not be fetched: ${reason}`, {
      kind: 'network',
      code: 'plan_not_fetched',
      hint: 'check the address given to --plan-file',
      cause,
    });
  try {
    const response = await createFetch(config.network)(url, {
      signal: AbortSignal.timeout(downloadLimitMs),
      headers: { accept: 'application/json, text/plain' },
      ...directIfLoopback(url),
    });
    if (!response.ok) throw fail(`the server answered ${response.status}`);
    const bytes: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > planBytesMax) throw fail(`it is larger than ${planBytesMax} bytes`);
      bytes.push(chunk);
    }
    return Buffer.concat(bytes).toString('utf8');
  } catch (error) {
    throw error instanceof KubiyaError ? error : fail(messageOf(error), error);
  }
}
