// The local activity that tells the control plane how an execution stands, and at its end waits until it knows.
import type { WorkerDeps } from '../deps.ts';
import { sessionMessageOf } from './conversation.ts';
import type { ExecutionContexts } from './execution-context.ts';
import type { AgentActivities, ReportInput } from './types.ts';

/** A control plane that hangs holds an answer back for so long; after that the outbox delivers it without the workflow. */
const flushLimitMs = 10_000;

export function createReport(deps: WorkerDeps, contexts: ExecutionContexts): AgentActivities['report'] {
  return async (input) => {
    const { executionId, outcome } = input;
    if (input.membership === undefined) await tell(input, deps);
    if (outcome === undefined) return;
    contexts.forget(executionId);
    await deps.journal.release(executionId);
    // A member's end is the leader's to tell: it is the result of its call.
    if (input.membership === undefined && deps.executions.ended(executionId, outcome.status)) sayEnd(input, deps);
  };
}

async function tell(input: ReportInput, deps: WorkerDeps): Promise<void> {
  const { executionId, outcome } = input;
  const timestamp = new Date(deps.clock.now()).toISOString();
  if (outcome?.status === 'failed' && outcome.limit !== undefined) {
    deps.publisher.publish(executionId, {
      event_id: `${executionId}:${input.reportId}:limit`,
      event_type: 'notice',
      data: { code: `limit_${outcome.limit}`, message: outcome.error },
      timestamp,
    });
  }
  if (outcome?.status === 'failed') {
    const data = {
      error: deps.redactor.redact(outcome.error),
      error_type: outcome.errorType,
      retryable: false,
      ...(outcome.hint === undefined ? {} : { hint: outcome.hint }),
    };
    deps.publisher.publish(executionId, {
      event_id: `${executionId}:${input.reportId}:error`,
      event_type: 'error',
      data,
      timestamp,
    });
  }
  if (input.transcript !== undefined) {
    const messages = input.transcript.map((message, index) =>
      sessionMessageOf(message, `${executionId}_${index}`, (text) => deps.redactor.redact(text)),
    );
    deps.publisher.saveSession(executionId, { session_id: executionId, messages, metadata: { turns: input.turn } });
  }
  deps.publisher.update(executionId, updateOf(input, timestamp, deps));
  if (input.transcript !== undefined) await deps.publisher.flush(executionId, flushLimitMs);
}

/** Once for each execution, however often its end is reported. */
function sayEnd(input: ReportInput, deps: WorkerDeps): void {
  const fields = { execution: input.executionId, turns: input.turn, duration_ms: deps.clock.now() - input.startedAtMs };
  recordEnd(input, fields.duration_ms, deps);
  if (input.outcome?.status === 'failed') {
    deps.log.warn('Task failed', { ...fields, reason: deps.redactor.redact(input.outcome.error) });
  } else {
    deps.log.info(input.outcome?.status === 'cancelled' ? 'Task cancelled' : 'Task completed', fields);
  }
}

function recordEnd({ outcome, agent, ...input }: ReportInput, durationMs: number, deps: WorkerDeps): void {
  deps.meter.record({
    type: 'execution_ended',
    executionId: input.executionId,
    agentName: agent?.agentName ?? input.agentId,
    traceparent: agent?.traceparent,
    startedAtMs: input.startedAtMs,
    durationMs,
    outcome: outcome?.status ?? 'completed',
    errorType: outcome?.status === 'failed' ? outcome.errorType : undefined,
    turns: input.turn,
    usage: input.usage,
  });
}

function updateOf(input: ReportInput, timestamp: string, deps: WorkerDeps) {
  const { outcome, usage } = input;
  const base = {
    status: input.status,
    usage: {
      prompt_tokens: usage.inputTokens,
      completion_tokens: usage.outputTokens,
      total_tokens: usage.inputTokens + usage.outputTokens,
      cache_read_tokens: usage.cacheReadTokens,
      cache_creation_tokens: usage.cacheWriteTokens,
      ...(input.costUsd === undefined
        ? {}
        : { cost_usd: input.costUsd, is_cost_estimated: input.isCostEstimated === true }),
    },
  };
  if (outcome === undefined) return base;
  return {
    ...base,
    completed_at: timestamp,
    ...(input.messagesTaken === undefined ? {} : { messages_taken: input.messagesTaken }),
    response: deps.redactor.redact(outcome.response),
    ...(outcome.status === 'failed' ? { error_message: deps.redactor.redact(outcome.error) } : {}),
    execution_metadata: {
      turns: input.turn,
      ...(outcome.status === 'failed' ? { error_type: outcome.errorType } : {}),
      ...(outcome.status === 'failed' && outcome.limit !== undefined ? { limit: outcome.limit } : {}),
    },
  };
}
