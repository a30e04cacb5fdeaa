// One digest for many files, to tell whether something made of them is current.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** SHA-256 in hex over names and contents of the files below `root` that match; a pattern may match none. */
export function hashFiles(root: string, patterns: readonly string[]): string {
  const hash = createHash('sha256');
  const paths = patterns.flatMap((pattern) => [...new Bun.Glob(pattern).scanSync({ cwd: root })]);
  for (const path of [...new Set(paths)].toSorted()) hash.update(`${path}\0`).update(readFileSync(join(root, path)));
  return hash.digest('hex');
}
