// Walks a directory for the search tools: bounded, without following links, giving way to the rest of the worker.
import { type Dirent } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { type FileScope, readText } from './file-access.ts';
import { createGlob } from './glob.ts';
import { fileProblem, resolvePath } from './paths.ts';
import type { Attempt } from './tool.ts';

/** Entries looked at in one search: a large repository with its dependencies. */
const entriesMax = 200_000;
const depthMax = 40;
/** Directories that hold other people's files; a pattern that names one looks inside. */
const skippedDirectories: readonly string[] = ['.git', 'node_modules'];
/** One found line; more context is for read_file_chunk. */
const lineCharactersMax = 300;

export interface SearchRequest {
  readonly directory: string | undefined;
  /** A glob; undefined finds every file. */
  readonly pattern: string | undefined;
  readonly resultsMax: number;
}

export interface Found {
  /** Relative to the searched directory, `/`-separated, sorted. */
  readonly paths: readonly string[];
  readonly isComplete: boolean;
  /** Absolute path of the searched directory. */
  readonly root: string;
}

export async function searchFiles(request: SearchRequest, scope: FileScope): Promise<Attempt<Found>> {
  const name = request.directory ?? '.';
  const root = resolvePath(name, scope.workspace, scope.policy);
  if (!root.ok) return root;
  if (root.stats === undefined) return { ok: false, problem: `${name} does not exist` };
  if (!root.stats.isDirectory()) return { ok: false, problem: `${name} is not a directory` };
  const matches = createGlob(request.pattern ?? '*');
  if (matches === null) return { ok: false, problem: 'The pattern has too many alternatives' };
  const skipped = new Set(skippedDirectories.filter((directory) => request.pattern?.includes(directory) !== true));
  const paths: string[] = [];
  const open = [{ path: root.path, depth: 0 }];
  let entryCount = 0;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const entries = await readEntries(next.path, next.depth === 0 ? name : undefined);
    if (!entries.ok) return entries;
    for (const entry of entries.value) {
      entryCount += 1;
      if (entryCount > entriesMax || scope.signal.aborted) return done(paths, root.path, false);
      const path = join(next.path, entry.name);
      const isOpened = entry.isDirectory() && !skipped.has(entry.name) && next.depth < depthMax;
      if (isOpened) open.push({ path, depth: next.depth + 1 });
      const way = relative(root.path, path).replaceAll(sep, '/');
      if (entry.isDirectory() || !matches(way)) continue;
      if (paths.length === request.resultsMax) return done(paths, root.path, false);
      paths.push(way);
    }
  }
  return done(paths, root.path, true);
}

function done(paths: string[], root: string, isComplete: boolean): Attempt<Found> {
  return { ok: true, value: { paths: paths.sort(), root, isComplete } };
}

/** Directories that cannot be read are passed over, except the first one (`name` is given). */
async function readEntries(path: string, name: string | undefined): Promise<Attempt<Dirent[]>> {
  const entries: Dirent[] = [];
  try {
    for await (const entry of await opendir(path)) {
      if (entries.length === entriesMax) break;
      entries.push(entry);
    }
  } catch (error) {
    if (name !== undefined) return { ok: false, problem: fileProblem(error, name) };
  }
  return { ok: true, value: entries };
}

export interface ContentRequest extends SearchRequest {
  readonly text: string;
  readonly ignoresCase: boolean;
}

/** Found lines, and whether everything was looked at. */
export interface FoundLines {
  readonly lines: readonly string[];
  readonly isComplete: boolean;
}

/** `path:line: text` for each line with the text; `resultsMax` counts lines. */
export async function searchContent(request: ContentRequest, scope: FileScope): Promise<Attempt<FoundLines>> {
  const found = await searchFiles({ ...request, resultsMax: entriesMax }, scope);
  if (!found.ok) return found;
  const wanted = request.ignoresCase ? request.text.toLowerCase() : request.text;
  const results: string[] = [];
  for (const path of found.value.paths) {
    if (scope.signal.aborted) return { ok: true, value: { lines: results, isComplete: false } };
    const content = await readText(join(found.value.root, path), scope);
    if (!content.ok) continue;
    const text = request.ignoresCase ? content.value.toLowerCase() : content.value;
    if (!text.includes(wanted)) continue;
    const lines = content.value.split('\n');
    for (const [at, line] of lines.entries()) {
      if (!(request.ignoresCase ? line.toLowerCase() : line).includes(wanted)) continue;
      if (results.length === request.resultsMax) return { ok: true, value: { lines: results, isComplete: false } };
      results.push(`${path}:${at + 1}: ${line.trimEnd().slice(0, lineCharactersMax)}`);
    }
  }
  return { ok: true, value: { lines: results, isComplete: found.value.isComplete } };
}
