// How the workflow runs model and tool calls as activities: timeouts, retries, and which failures end the execution.
import * as workflow from '@temporalio/workflow';
import type { FailureType, Lease, ModelFact, PendingCall, PreparedAgent } from '../../agent/state.ts';
import { fatalFailureType } from '../../protocol/workflow.ts';
import type { AgentActivities, CallModelInput, ToolFact } from '../activities/types.ts';
import { claudeCodeTurn } from './claude-code-turn.ts';
import { type FindLease, LeasedTools, type LeaseQuestion, type ToolCall } from './leased-tools.ts';

export interface FatalFailure {
  readonly message: string;
  readonly errorType: FailureType;
  readonly hint?: string;
}

/** The bookkeeping runs inside the workflow task; its retries beyond a second become timers. `prepare` may download an MCP server. */
export const bookkeeping = workflow.proxyLocalActivities<
  Omit<AgentActivities, 'callModel' | 'callTool' | 'lookAtLease'>
>({
  startToCloseTimeout: '120s',
  localRetryThreshold: '1s',
  retry: {
    initialInterval: '200ms',
    backoffCoefficient: 2,
    maximumInterval: '10s',
    nonRetryableErrorTypes: [fatalFailureType],
  },
});

/** What is said while an execution is being stopped: a control plane that is away must not keep it. */
export const farewells = workflow.proxyLocalActivities<Pick<AgentActivities, 'announce' | 'cancelExecution'>>({
  startToCloseTimeout: '5s',
  localRetryThreshold: '1s',
  retry: { initialInterval: '200ms', maximumAttempts: 3 },
});

export interface Calls {
  model(input: CallModelInput): Promise<ModelFact>;
  tool(call: ToolCall): Promise<ToolFact>;
  /** As it stands now; undefined for an execution that an older worker began. */
  lease(): Lease | undefined;
  /** For a member of the team that has the same one. */
  leaseAfter(question: LeaseQuestion): Promise<Lease>;
}

/** Attempts are spent by lost workers as well as by failing providers (which stop themselves earlier): a bound, not a policy. */
const attemptsMax = 100;

/** A provider that asks for a longer pause than the backoff gets it through nextRetryDelay. */
const retry = {
  initialInterval: '1s',
  backoffCoefficient: 2,
  maximumInterval: '30s',
  maximumAttempts: attemptsMax,
} as const;

/** A tool's later attempt only looks up what became of the call, so it comes at once. */
const toolRetry = {
  initialInterval: '100ms',
  backoffCoefficient: 1.5,
  maximumInterval: '5s',
  maximumAttempts: attemptsMax,
} as const;

/** `find`: of a member, whose lease is its leader's. */
export function createCalls(prepared: PreparedAgent, find?: FindLease): Calls {
  const common = {
    heartbeatTimeout: prepared.timing.heartbeatTimeoutMs,
    startToCloseTimeout: prepared.timing.startToCloseMs,
    cancellationType: workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  };
  const models = workflow.proxyActivities<Pick<AgentActivities, 'callModel'>>({ ...common, retry });
  const model: Calls['model'] = (input) => models.callModel(input);
  if (prepared.lease !== undefined) {
    const tools = new LeasedTools(prepared, prepared.lease, { ...common, retry: toolRetry }, find);
    const tool: Calls['tool'] = (call) => tools.call(call);
    return {
      model: prepared.claudeCode === undefined ? model : (input) => claudeCodeTurn(input, tool),
      tool,
      lease: () => tools.lease,
      leaseAfter: (question) => tools.leaseAfter(question),
    };
  }
  const tools = workflow.proxyActivities<Pick<AgentActivities, 'callTool'>>({ ...common, retry: toolRetry });
  return {
    model,
    tool: (call) => tools.callTool({ ...call, prepared }),
    lease: () => undefined,
    leaseAfter: ({ lease }) => Promise.resolve(lease),
  };
}

/**
 * Those of the calls that may start in one workflow task: each brings the prepared agent with it, and Temporal terminates an
 * execution whose task is too large. The rest is for the next step.
 */
export function fittingTask(calls: readonly PendingCall[], prepared: PreparedAgent): readonly PendingCall[] {
  const { taskCharactersMax } = prepared.limits;
  if (taskCharactersMax === undefined || calls.length === 1) return calls;
  const preparedCharacters = JSON.stringify(prepared).length;
  let characters = 0;
  return calls.filter((call) => {
    if (call.plan !== undefined) return true;
    const isFirst = characters === 0;
    characters += preparedCharacters + call.arguments.length;
    return isFirst || characters <= taskCharactersMax;
  });
}

/** A failure that ends the execution; undefined for a cancellation or a bug, which Temporal shall see. */
export function fatalFailureOf(error: unknown): FatalFailure | undefined {
  // A local activity's failure comes bare, an activity's wrapped.
  const isWrapped = error instanceof workflow.ActivityFailure;
  const cause = isWrapped ? error.cause : error;
  if (cause instanceof workflow.ApplicationFailure && (isWrapped || cause.type === fatalFailureType)) {
    const [errorType, hint] = cause.details ?? [];
    return {
      message: cause.message,
      errorType: isFailureType(errorType) ? errorType : 'agent',
      ...(typeof hint === 'string' ? { hint } : {}),
    };
  }
  if (isWrapped && cause instanceof workflow.TimeoutFailure) {
    return { message: `The call ${error.activityType} got no answer from any worker in time`, errorType: 'timeout' };
  }
  return undefined;
}

const failureTypes: ReadonlySet<unknown> = new Set<FailureType>([
  'agent',
  'authentication',
  'configuration',
  'network',
  'limit',
  'timeout',
  'model',
  'disk_full',
  'denied',
]);
const isFailureType = (value: unknown): value is FailureType => failureTypes.has(value);
