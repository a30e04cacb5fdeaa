// What follows the end of a worker: start again, when, or not at all. Pure, so that a day of crashes can be tested in a second.
import { exitCodes } from '../errors.ts';

/** 1, 2, 4 … seconds: a passing fault costs a second, a lasting one a start a minute. */
export const backoffFirstMs = 1_000;
export const backoffMsMax = 60_000;
/** A wait is this part of itself shorter or longer, so that workers that fell together do not come back together. */
const jitterPart = 0.25;
/** Whoever was healthy for so long has a new fault, not the old one. */
export const healthyMs = 5 * 60_000;
/** From this crash in a row on it is a loop: four attempts in 15 s were not enough. */
export const crashLoopFrom = 5;
/** A worker that is above its memory limit sooner after a start will be so again at once: that is a crash. */
const memoryRestartMs = 60_000;

/** How a worker ended, as seen from outside and from its last words. */
export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly lastWords: LastWords | undefined;
  /** How long it was ready and answered; undefined when it was never ready. */
  readonly healthyMs: number | undefined;
  /** It was killed because it did not answer for so long. */
  readonly silentMs: number | undefined;
}

export interface LastWords {
  readonly exitCode: number;
  readonly reason: string | null;
  readonly hint: string | null;
  readonly isRetryable: boolean;
}

export type Decision =
  | { readonly kind: 'stopped'; readonly reason: string; readonly exitCode: number | null }
  /** A restart would end the same way. */
  | { readonly kind: 'failed'; readonly reason: string; readonly hint: string | null; readonly exitCode: number }
  | {
      readonly kind: 'restart';
      readonly reason: string;
      readonly hint: string | null;
      readonly exitCode: number | null;
      readonly afterMs: number;
      readonly crashesInRow: number;
      readonly isCrashLoop: boolean;
    };

export interface PolicyState {
  /** Before this end. */
  readonly crashesInRow: number;
  /** Somebody waits for the first start and is to be told why it failed. */
  readonly isFirstStart: boolean;
}

export function decide(end: WorkerEnd, state: PolicyState, random: () => number): Decision {
  const exitCode = end.lastWords?.exitCode ?? end.code;
  const reason = reasonOf(end);
  const hint = end.lastWords?.hint ?? null;
  if (isOnPurpose(end)) return { kind: 'stopped', reason, exitCode };
  if (state.isFirstStart || isForGood(end))
    return { kind: 'failed', reason, hint, exitCode: exitCode ?? exitCodes.internal };
  if (isAboveMemory(end)) {
    const { crashesInRow } = state;
    return { kind: 'restart', reason, hint, exitCode, afterMs: 0, crashesInRow, isCrashLoop: false };
  }
  const wasHealthy = end.healthyMs !== undefined && end.healthyMs >= healthyMs;
  const crashesInRow = wasHealthy ? 1 : state.crashesInRow + 1;
  return {
    kind: 'restart',
    reason,
    hint,
    exitCode,
    afterMs: restartDelayMs(crashesInRow, random),
    crashesInRow,
    isCrashLoop: crashesInRow >= crashLoopFrom,
  };
}

/** Before the start that follows the given crash in a row; always within a second and a minute. */
export function restartDelayMs(crashesInRow: number, random: () => number): number {
  const baseMs = Math.min(backoffMsMax, backoffFirstMs * 2 ** (crashesInRow - 1));
  const jittered = baseMs * (1 - jitterPart + 2 * jitterPart * random());
  return Math.round(Math.min(backoffMsMax, Math.max(backoffFirstMs, jittered)));
}

/** Drained after a signal from outside, or a limit that it had been given; or ended by that signal before it could listen. */
function isOnPurpose({ code, signal, lastWords }: WorkerEnd): boolean {
  const said = lastWords?.exitCode ?? code;
  return said === 0 || said === exitCodes.interrupted || /^SIG(TERM|INT|HUP)$/.test(signal ?? '');
}

/** What a worker could not say, its exit code does: these kinds stay as they are. */
const lastingCodes: ReadonlySet<number> = new Set([
  exitCodes.usage,
  exitCodes.authentication,
  exitCodes.api_refused,
  exitCodes.configuration,
]);

function isForGood({ code, lastWords }: WorkerEnd): boolean {
  return lastWords === undefined ? code !== null && lastingCodes.has(code) : !lastWords.isRetryable;
}

function isAboveMemory({ code, lastWords, healthyMs: wasHealthyMs = 0 }: WorkerEnd): boolean {
  return (lastWords?.exitCode ?? code) === exitCodes.limit && wasHealthyMs >= memoryRestartMs;
}

function reasonOf({ code, signal, lastWords, silentMs }: WorkerEnd): string {
  if (silentMs !== undefined) return `the worker did not answer for ${Math.round(silentMs / 1000)} s and was killed`;
  if (lastWords !== undefined) return lastWords.reason ?? `the worker ended with exit code ${lastWords.exitCode}`;
  if (signal !== null) return `the worker was ended by ${signal}`;
  return code === null ? 'the worker ended without a word' : `the worker ended with exit code ${code}`;
}
