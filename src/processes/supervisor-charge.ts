// What a supervisor is started with: its charge in the environment, its words and those of its worker.
import * as v from 'valibot';
import { type Environment, given } from '../config/sources.ts';
import { exitCodes } from '../errors.ts';
import { createId } from '../lib/ids.ts';
import { createSpawner } from '../lib/spawn.ts';
import {
  supervisedByVariable,
  type SupervisorCharge,
  supervisorChargeSchema,
  supervisorChargeVariable,
} from '../protocol/instance.ts';

/** The hidden first argument with which our binary becomes a supervisor. */
export const supervisorArgument = '__supervisor';

/** Set by ourselves and by nobody else; anything else in it counts as not set. */
export function chargeOf(environment: Environment): SupervisorCharge | undefined {
  const text = given(environment, supervisorChargeVariable);
  if (text === undefined) return undefined;
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), supervisorChargeSchema), text);
  return parsed.success ? parsed.output : undefined;
}

/** All that we were given ourselves, with these changes; what an earlier supervisor said to its worker is no longer true. */
export function environmentFor(
  environment: Environment,
  changes: Readonly<Record<string, string>>,
): Record<string, string> {
  const { [supervisedByVariable]: _, ...rest } = environment;
  return Object.fromEntries(
    Object.entries({ ...rest, ...changes }).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

export function supervisorCommand({ executable, queue }: SupervisorCharge): readonly string[] {
  return [...executable, supervisorArgument, tagOf(queue)];
}

export function workerCommand({ executable, words, queue }: SupervisorCharge): readonly string[] {
  return [...executable, ...words, tagOf(queue)];
}

/** Last on the command lines of supervisor and worker, for `pkill -f "worker.py.*<queue>"` and `ps | grep` of the worker guide. */
function tagOf(queue: string): string {
  return `--tag=worker.py:${queue}`;
}

/** `key`: the id of a queue, or `name-` and the name of its directory. */
export function supervisorLockFile(key: string): string {
  return `${key}.supervisor.lock`;
}

/** Answering --version loads nothing; a cold disk may need this long for 200 MB. */
const programAnswerMsMax = 10_000;

/** Why the program on disk cannot take over, one sentence; undefined when it has a version and knows what a supervisor is. */
export async function programProblem(executable: readonly string[]): Promise<string | undefined> {
  const { text } = await answerOf([...executable, '--version']);
  if (!/^kubiya \d/.test(text)) return `the program ${executable.join(' ')} does not answer with its version`;
  // Without a charge it has nothing to do, and says so.
  const { code } = await answerOf([...executable, supervisorArgument]);
  return code === exitCodes.internal ? undefined : `the program ${executable.join(' ')} cannot supervise a worker`;
}

interface ProgramAnswer {
  /** Null for one that is missing, no program, or did not answer in time. */
  readonly code: number | null;
  readonly text: string;
}

async function answerOf(command: readonly string[]): Promise<ProgramAnswer> {
  const spawner = createSpawner({ instanceId: createId(), onStart: () => undefined, onEnd: () => undefined });
  try {
    const child = await spawner.start({ command, cwd: '/', environment: {}, stdout: 'pipe' });
    const timer = setTimeout(() => child.signalGroup('SIGKILL'), programAnswerMsMax);
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await new Promise((resolve) => child.stdout?.once('close', resolve));
    const { code } = await child.exited;
    clearTimeout(timer);
    return { code, text };
  } catch {
    return { code: null, text: '' };
  }
}
