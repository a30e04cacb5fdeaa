// The registry of live calls: a call belongs to the worker process, not to the attempt that asked for it, and starts at most once.
import type { ToolEffect } from '../protocol/tool.ts';
import { ownerExecutionId } from '../protocol/workflow.ts';
import type { ExecutionJournal, Journal, JournalEntry } from './journal.ts';

export interface CallIdentity {
  readonly executionId: string;
  readonly callId: string;
  readonly turn: number;
  /** Temporal's attempt, from 1. */
  readonly attempt: number;
  /** A model call may be paid again; everything else follows the tool's effect. */
  readonly effect: ToolEffect | 'model';
  /** When Temporal scheduled the first attempt (epoch milliseconds); absent where that is not known. */
  readonly scheduledAtMs?: number;
  /** It is given to the writer of this journal and to nobody else, so that what is not written here has not happened. */
  readonly isOursAlone?: boolean;
  /** Somebody who has vanished may have begun it. */
  readonly mayHaveStarted?: boolean;
}

/** Why a running call is told to stop: a person cancelled the execution, or this worker's drain limit is over. */
export type StopReason = 'cancelled' | 'drain';

export interface CallContext {
  /** Aborted with a StopReason as its `reason`. */
  readonly signal: AbortSignal;
  /** Keeps output for the case that the worker vanishes; bounded by the journal. */
  readonly onOutput: (text: string) => void;
}

export interface CallOperations<Result> {
  /** What the work needs from elsewhere, before the call counts as started. Rejects to make Temporal try again, without harm. */
  prepare?(): Promise<void>;
  /** Asked when nothing stands between the call and its begin; false leaves it to a later attempt. That of the newest attempt counts. */
  readonly mayBegin?: () => boolean;
  /** Does the work. Rejects only to make Temporal try again; a call without side effects may then start again. */
  start(context: CallContext): Promise<Result>;
  /** The result of a call whose outcome nobody knows. */
  interrupted(outputSeen: string): Result;
  /** Checks a recorded result; undefined makes it as if it had not been recorded. */
  revive(recorded: unknown): Result | undefined;
}

export interface CallRegistry {
  /** Runs the call, attaches to it when it is still running, or says what became of it. */
  run<Result>(call: CallIdentity, operations: CallOperations<Result>): Promise<Result>;
  /** Stops one call; without effect when it is not running. */
  stop(callId: string, reason: StopReason): void;
  stopAll(reason: StopReason): void;
  readonly liveCount: number;
  /** Ids of the executions that have a call running, each once; a team's for its members. */
  liveExecutions(): readonly string[];
  /** Model calls that were made again because their first answer was lost. */
  readonly repaidCount: number;
}

interface LiveCall {
  readonly executionId: string;
  readonly result: Promise<unknown>;
  readonly controller: AbortController;
  mayBegin: (() => boolean) | undefined;
}

/** Output is written to the journal at most this often and this much at a time: it is a trace, not a transcript. */
const outputFlushMs = 250;
const outputFlushCharactersMax = 4_000;

/** Whether no worker with another journal can have got a call since then. Must not throw. */
export type SoleJournalProof = (sinceMs: number) => Promise<boolean>;

export interface CallRegistryOptions {
  readonly onJournalError: (error: unknown) => void;
  readonly isSoleJournal?: SoleJournalProof;
  /** More than so many wait for their turn. */
  readonly runningMax: number;
}

export function createCallRegistry(journal: Journal, options: CallRegistryOptions): CallRegistry {
  return new LiveCalls(journal, options);
}

/** Lives as long as the worker; what it knows of running calls dies with it, what it wrote does not. */
class LiveCalls implements CallRegistry {
  private readonly live = new Map<string, LiveCall>();
  private repaid = 0;
  private stopReason: StopReason | undefined;

  /** Calls that run; the others in `live` wait, in the order of `waiting`. */
  private running = 0;
  private readonly waiting = new Set<() => void>();

  constructor(
    private readonly journal: Journal,
    private readonly options: CallRegistryOptions,
  ) {}

  get liveCount(): number {
    return this.live.size;
  }

  liveExecutions(): readonly string[] {
    return [...new Set([...this.live.values()].map(({ executionId }) => ownerExecutionId(executionId)))];
  }

  get repaidCount(): number {
    return this.repaid;
  }

  async run<Result>(call: CallIdentity, operations: CallOperations<Result>): Promise<Result> {
    const running = this.live.get(call.callId);
    if (running !== undefined) {
      running.mayBegin = operations.mayBegin;
      // The same id is the same call, so it has the same type of result.
      return running.result as Promise<Result>;
    }
    const controller = new AbortController();
    if (this.stopReason !== undefined) controller.abort(this.stopReason);
    const result = this.perform(call, operations, controller);
    this.live.set(call.callId, { executionId: call.executionId, result, controller, mayBegin: operations.mayBegin });
    try {
      return await result;
    } finally {
      this.live.delete(call.callId);
    }
  }

  stop(callId: string, reason: StopReason): void {
    this.live.get(callId)?.controller.abort(reason);
  }

  stopAll(reason: StopReason): void {
    this.stopReason = reason;
    for (const call of this.live.values()) call.controller.abort(reason);
  }

  /** An attempt that died with its worker before it wrote a word is harmless if that worker can only have been one of ours. */
  private async hasReachedNobody(call: CallIdentity, entry: JournalEntry | undefined): Promise<boolean> {
    if (entry?.hasStarted === true || call.mayHaveStarted === true || call.scheduledAtMs === undefined) return false;
    return (await this.options.isSoleJournal?.(call.scheduledAtMs)) ?? false;
  }

  private async perform<Result>(
    call: CallIdentity,
    operations: CallOperations<Result>,
    controller: AbortController,
  ): Promise<Result> {
    const execution = await this.journal.open(call.executionId);
    const entry = execution.entry(call.callId);
    if (entry?.finished !== undefined) {
      const revived = operations.revive(entry.finished.result);
      if (revived !== undefined) return revived;
    }
    const isSynced = call.effect === 'side_effecting';
    const received = { ...recordBase(call), type: 'received', attempt: call.attempt } as const;
    if (!mayStart(call, entry) && !(await this.hasReachedNobody(call, entry))) {
      const result = operations.interrupted(entry?.output ?? '');
      await execution.append([received, { ...recordBase(call), type: 'finished', result }], { isSynced });
      return result;
    }
    const hasTurn = await this.turn(controller.signal);
    try {
      return await this.begin(call, operations, controller, execution);
    } finally {
      if (hasTurn) this.endTurn();
    }
  }

  /**
   * True when it may run. False when it was cancelled first and has only its end to write down. Rejects when this worker
   * stops first: another attempt begins it elsewhere.
   */
  private async turn(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.running < this.options.runningMax) {
      this.running += 1;
      return true;
    }
    return await new Promise<boolean>((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener('abort', onStop);
        resolve(true);
      };
      const onStop = (): void => {
        this.waiting.delete(go);
        const isDrain = signal.reason === ('drain' satisfies StopReason);
        if (isDrain) reject(new Error('This worker stops before the call has begun'));
        else resolve(false);
      };
      this.waiting.add(go);
      signal.addEventListener('abort', onStop, { once: true });
    });
  }

  /** The next one that waits runs in its place. */
  private endTurn(): void {
    const [next] = this.waiting;
    if (next === undefined) {
      this.running -= 1;
      return;
    }
    this.waiting.delete(next);
    next();
  }

  private async begin<Result>(
    call: CallIdentity,
    operations: CallOperations<Result>,
    controller: AbortController,
    execution: ExecutionJournal,
  ): Promise<Result> {
    const isSynced = call.effect === 'side_effecting';
    const received = { ...recordBase(call), type: 'received', attempt: call.attempt } as const;
    if (call.effect === 'model' && execution.entry(call.callId)?.hasStarted === true) this.repaid++;
    const started = { ...recordBase(call), type: 'started' } as const;
    if (operations.prepare === undefined) {
      this.mustBeWanted(call);
      await execution.append([received, started], { isSynced });
    } else {
      await execution.append([received], { isSynced: false });
      await operations.prepare();
      this.mustBeWanted(call);
      await execution.append([started], { isSynced });
    }
    return await this.startAndRecord(call, operations, controller, execution);
  }

  private mustBeWanted({ callId }: CallIdentity): void {
    if (this.live.get(callId)?.mayBegin?.() === false)
      throw new Error('The attempt was given up before the call has begun');
  }

  private async startAndRecord<Result>(
    call: CallIdentity,
    operations: CallOperations<Result>,
    controller: AbortController,
    execution: ExecutionJournal,
  ): Promise<Result> {
    const isSynced = call.effect === 'side_effecting';
    const trace = createOutputTrace(call, execution, this.options.onJournalError);
    const { signal } = controller;
    try {
      const result = await operations.start({ signal, onOutput: (text) => trace.push(text) });
      await trace.end();
      // The work is done and its result is in memory: a disk that fills up now must not lose it.
      await execution
        .append([{ ...recordBase(call), type: 'finished', result }], { isSynced })
        .catch(this.options.onJournalError);
      return result;
    } catch (error) {
      if (call.effect !== 'side_effecting') {
        await execution
          .append([{ ...recordBase(call), type: 'released' }], { isSynced })
          .catch(this.options.onJournalError);
      }
      throw error;
    } finally {
      await trace.end();
    }
  }
}

/**
 * Whether a call that nobody is running may start. A side-effecting call may only if this journal proves that it has
 * never started: it saw every earlier attempt come in (so none ran elsewhere) and none of them started here.
 */
export function mayStart(call: CallIdentity, entry: JournalEntry | undefined): boolean {
  if (call.effect !== 'side_effecting') return true;
  if (entry?.hasStarted === true || call.mayHaveStarted === true) return false;
  if (call.isOursAlone === true) return true;
  for (let earlier = 1; earlier < call.attempt; earlier++) {
    if (entry?.attempts.has(earlier) !== true) return false;
  }
  return true;
}

/** Times in the journal are for people; nothing is decided by them. */
const recordBase = (call: CallIdentity) => ({ call: call.callId, turn: call.turn, at: new Date().toISOString() });

function createOutputTrace(call: CallIdentity, execution: ExecutionJournal, onError: (error: unknown) => void) {
  let pending = '';
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  const flush = (): void => {
    timer = undefined;
    const text = pending.slice(-outputFlushCharactersMax);
    pending = '';
    if (text === '') return;
    const record = { type: 'output', call: call.callId, turn: call.turn, text } as const;
    writing = writing.then(() => execution.append([record], { isSynced: false })).catch(onError);
  };
  return {
    push: (text: string): void => {
      pending = (pending + text).slice(-outputFlushCharactersMax);
      timer ??= setTimeout(flush, outputFlushMs);
    },
    end: async (): Promise<void> => {
      clearTimeout(timer);
      timer = undefined;
      pending = '';
      await writing;
    },
  };
}
