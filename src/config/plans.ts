// Plans as files: `~/.kubiya/plans/<id>.json` of every plan that was made, and those that a person names.
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { KubiyaError, messageOf } from '../errors.ts';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { readTextFile } from '../lib/bounded-file.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { type SavedPlan, savedPlanSchema } from '../protocol/planner.ts';
import type { Paths } from './paths.ts';

/** A plan of thirty tasks has some 20 kB, its prompt up to 800 kB. */
export const planBytesMax = 2_000_000;

/** A year of several a day; each has a few kB. */
const plansKeptMax = 1_000;

/** A name that is an id and cannot lead anywhere else. */
const idPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/;

export function planFileOf(paths: Paths, planId: string): string | undefined {
  return idPattern.test(planId) ? join(paths.plansDirectory, `${planId}.json`) : undefined;
}

/** Owner-only, because prompts are in it. Throws the system's error. */
export function writePlan(path: string, plan: SavedPlan): void {
  writeFileAtomic(path, `${JSON.stringify({ ...plan, file_path: path }, null, 2)}\n`);
}

/** Among the plans that were made here, of which the oldest give way. Throws the system's error. */
export function keepPlan(path: string, plan: SavedPlan, { plansDirectory }: Paths): void {
  ensureSecureDirectory(plansDirectory);
  writePlan(path, plan);
  const names = readdirSync(plansDirectory).filter((name) => name.endsWith('.json'));
  if (names.length <= plansKeptMax) return;
  const files = names.map((name) => join(plansDirectory, name));
  const changedMs = new Map(files.map((file) => [file, statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0]));
  const byAge = files.toSorted((a, b) => (changedMs.get(a) ?? 0) - (changedMs.get(b) ?? 0));
  for (const file of byAge.slice(0, files.length - plansKeptMax)) rmSync(file, { force: true });
}

export function readPlan(path: string): SavedPlan {
  try {
    return parsePlan(readTextFile(path, planBytesMax), path);
  } catch (error) {
    if (error instanceof KubiyaError) throw error;
    throw new KubiyaError(`the plan ${path} cannot be read: ${messageOf(error)}`, {
      kind: 'usage',
      code: 'plan_unreadable',
      hint: 'check the path given to --plan-file',
      cause: error,
    });
  }
}

/** `source` is named in the error, nothing of the text is. */
export function parsePlan(text: string, source: string): SavedPlan {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(source, 'it is not JSON', error);
  }
  const parsed = v.safeParse(savedPlanSchema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw invalid(source, `${v.getDotPath(issue) ?? 'it'} is missing or wrong`);
}

function invalid(source: string, problem: string, cause?: unknown): KubiyaError {
  return new KubiyaError(`${source} is no saved plan: ${problem}`, {
    kind: 'usage',
    code: 'plan_invalid',
    hint: 'a saved plan is what `kubiya exec --save-plan FILE "<prompt>"` writes',
    cause,
  });
}
