// Finds the Node on the PATH that can host the Temporal side.
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { messageOf } from '../errors.ts';
import { runBriefly } from './brief-run.ts';

export interface NodeProgram {
  readonly path: string;
  /** As it says: `v20.20.2`. */
  readonly version: string;
}

export type NodeSearch =
  | { readonly ok: true; readonly node: NodeProgram }
  /** A clause that can follow "because". */
  | { readonly ok: false; readonly reason: string };

/** What the Temporal SDK and our own code need. */
export const nodeMajorMin = 20;
/** A version is printed in 50 ms; a shim of a version manager takes a second on a bad day. */
const versionLimitMs = 10_000;

/** The first on the PATH that is new enough. Never rejects. */
export async function findNode(environment: Readonly<Record<string, string>>): Promise<NodeSearch> {
  const refused: string[] = [];
  for (const path of candidatesOn(environment['PATH'] ?? environment['Path'] ?? '')) {
    const version = await versionOf(path, environment);
    const major = Number(/^v(\d+)/.exec(version)?.[1]);
    if (major >= nodeMajorMin) return { ok: true, node: { path, version } };
    refused.push(`${path} is ${version}`);
  }
  const found = refused.length === 0 ? 'there is no node on the PATH' : refused.join(', ');
  return { ok: false, reason: found };
}

function candidatesOn(searchPath: string): readonly string[] {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  // An empty or relative entry would mean a directory that the current project chooses.
  const paths = searchPath
    .split(delimiter)
    .filter((directory) => isAbsolute(directory))
    .map((directory) => join(directory, name));
  return [...new Set(paths)].filter(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What it says to `--version`, or why it says nothing. */
async function versionOf(path: string, environment: Readonly<Record<string, string>>): Promise<string> {
  try {
    const { stdout, isLate } = await runBriefly({ command: [path, '--version'], environment, limitMs: versionLimitMs });
    if (isLate) return 'too slow to say its version';
    const [line = ''] = stdout.trim().split('\n');
    return /^v\d+\.\d+\.\d+[\w.+-]{0,40}$/.test(line) ? line : 'no Node: it prints no version';
  } catch (error) {
    return `unusable (${messageOf(error)})`;
  }
}
