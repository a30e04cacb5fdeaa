// Sends an execution's tool calls to the worker that holds its workspace, and to another one when that worker is gone.
import * as workflow from '@temporalio/workflow';
import type { Lease, PreparedAgent } from '../../agent/state.ts';
import type { AgentActivities, CallToolInput, ToolFact } from '../activities/types.ts';

export type ToolCall = Omit<CallToolInput, 'prepared' | 'mayHaveStarted'>;
type ToolOptions = Omit<workflow.ActivityOptions, 'taskQueue' | 'scheduleToStartTimeout'>;

/** A call that waits for a busy worker asks ever less often, so that hours of waiting leave few events: at most once a minute. */
const lookFactor = 2;
const lookMsMax = 60_000;

/** Told once for each move, with the first result after it. */
const movedNote =
  'Note: the worker that ran this execution is gone, and it goes on on another one in a new, empty workspace. Files that were only there (not in version control or remote storage) and processes that you had left running are gone.';

const looks = workflow.proxyLocalActivities<Pick<AgentActivities, 'lookAtLease'>>({ startToCloseTimeout: '30s' });

/** A call that nobody has taken from the queue of `lease`. */
export interface LeaseQuestion {
  readonly executionId: string;
  readonly callId: string;
  readonly lease: Lease;
}

/** Gives the lease as it is when its holder may live, else the one that takes its place. */
export type FindLease = (question: LeaseQuestion) => Promise<Lease>;

/** Where the tool calls of one run go; its state is the lease, which moves. */
export class LeasedTools {
  private readonly prepared: PreparedAgent;
  private readonly options: ToolOptions;
  private readonly firstLookMs: number;
  private current: Lease;
  private isMoveTold = true;
  private look: Promise<Lease> | undefined;
  private readonly find: FindLease;

  constructor(prepared: PreparedAgent, lease: Lease, options: ToolOptions, find: FindLease = looks.lookAtLease) {
    this.prepared = prepared;
    this.options = options;
    this.find = find;
    this.firstLookMs = Math.min(prepared.timing.leaseLookMs ?? lookMsMax, lookMsMax);
    this.current = lease;
  }

  get lease(): Lease {
    return this.current;
  }

  /** For a member of the team, whose lease is this one. */
  async leaseAfter({ executionId, callId, lease }: LeaseQuestion): Promise<Lease> {
    if (lease.journalId === this.current.journalId) await this.hasMoved(this.current, executionId, callId);
    return this.current;
  }

  async call(call: ToolCall): Promise<ToolFact> {
    /** The holder may have begun it; its journal knows. */
    let isDoubtful = false;
    /** The journal that knows is gone. */
    let mayHaveStarted = false;
    for (let lookMs = this.firstLookMs; ; lookMs = Math.min(lookMs * lookFactor, lookMsMax)) {
      const lease = this.current;
      try {
        return this.told(await this.send(call, { lease, lookMs, mayHaveStarted }));
      } catch (error) {
        const untaken = untakenOf(error);
        if (untaken === undefined) throw error;
        isDoubtful ||= hadAttempts(untaken);
        if (!(await this.hasMoved(lease, call.executionId, call.call.callId))) continue;
        mayHaveStarted ||= isDoubtful;
        isDoubtful = false;
        lookMs = this.firstLookMs / lookFactor;
      }
    }
  }

  private send(
    call: ToolCall,
    { lease, lookMs, mayHaveStarted }: { lease: Lease; lookMs: number; mayHaveStarted: boolean },
  ): Promise<ToolFact> {
    const tools = workflow.proxyActivities<Pick<AgentActivities, 'callTool'>>({
      ...this.options,
      taskQueue: lease.taskQueue,
      scheduleToStartTimeout: lookMs,
    });
    const prepared = { ...this.prepared, lease };
    // Before the lease moves, the heartbeats of an attempt are missed for so long, and the next one waits for so long.
    const staleAfterMs = prepared.timing.heartbeatTimeoutMs + lookMs;
    return tools.callTool({ ...call, prepared, staleAfterMs, ...(mayHaveStarted ? { mayHaveStarted } : {}) });
  }

  /** Calls that run side by side look once. */
  private async hasMoved(from: Lease, executionId: string, callId: string): Promise<boolean> {
    if (this.current !== from) return true;
    this.look ??= this.find({ executionId, callId, lease: from }).finally(() => (this.look = undefined));
    const lease = await this.look;
    if (lease.journalId === from.journalId) return false;
    if (this.current === from) {
      this.current = lease;
      this.isMoveTold = false;
    }
    return true;
  }

  private told(fact: ToolFact): ToolFact {
    if (this.isMoveTold) return fact;
    this.isMoveTold = true;
    return { ...fact, content: `${movedNote}\n\n${fact.content}` };
  }
}

/**
 * Temporal's server says what ended the attempt before; without one, nobody has ever had the call. The SDK leaves this out of
 * its own error (`cause`) and keeps what the server said.
 */
function hadAttempts({ failure }: workflow.TimeoutFailure): boolean {
  return failure === undefined || Boolean(failure.cause);
}

function untakenOf(error: unknown): workflow.TimeoutFailure | undefined {
  const cause = error instanceof workflow.ActivityFailure ? error.cause : undefined;
  const isUntaken = cause instanceof workflow.TimeoutFailure && cause.timeoutType === 'SCHEDULE_TO_START';
  return isUntaken ? cause : undefined;
}
