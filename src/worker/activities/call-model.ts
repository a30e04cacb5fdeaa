// The activity that makes one model call: streams its answer as events and leaves retries to Temporal.
import { summaryPrompt, summaryRequest } from '../../agent/prompt.ts';
import type { ModelFact, PreparedAgent } from '../../agent/state.ts';
import { backoffDelayMs } from '../../lib/backoff.ts';
import {
  isRetryableFailure,
  noUsage,
  type ModelFailure,
  type ModelOutcome,
  type ModelResult,
} from '../../protocol/model.ts';
import type { ToolEffect } from '../../protocol/tool.ts';
import type { WorkFact } from '../../telemetry/meter.ts';
import type { Toolset } from '../../tools/toolset.ts';
import type { CallContext } from '../calls.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import { localHeartbeatEveryMs, remoteHeartbeatEveryMs } from '../timing.ts';
import { passing, runAttempt, type Attempt } from './attempt.ts';
import { logCall } from './call-log.ts';
import type { ExecutionContexts } from './execution-context.ts';
import { createMessageStream, type MessageStream } from './message-stream.ts';
import { costOf } from './model-costs.ts';
import { judgeAnswer } from './output-schema.ts';
import type { AgentActivities, CallModelInput } from './types.ts';

/** Six attempts with this backoff last about 30 s: a provider's hiccup passes, an outage is told soon. */
const providerAttemptsMax = 6;
const providerBackoff = { firstMs: 1_000, mostMs: 30_000 };
/** A provider that wants a longer pause than this is out of quota, not busy. */
const retryAfterMsMax = 600_000;

export function createCallModel(
  session: Session,
  deps: WorkerDeps,
  contexts: ExecutionContexts,
): AgentActivities['callModel'] {
  const heartbeatEveryMs = session.isLocal ? localHeartbeatEveryMs : remoteHeartbeatEveryMs;
  return (input) =>
    runAttempt({ executionId: input.executionId, callId: input.callId, heartbeatEveryMs }, deps, (attempt) =>
      deps.calls.run<ModelFact>(
        {
          executionId: input.executionId,
          callId: input.callId,
          turn: input.turn,
          attempt: attempt.number,
          effect: 'model',
        },
        {
          start: (call) => ask(input, attempt, call, deps, contexts),
          interrupted: () => ({
            type: 'failure',
            failure: { kind: 'cancelled', message: 'The model call was interrupted' },
          }),
          revive: reviveModelFact,
        },
      ),
    );
}

async function ask(
  input: CallModelInput,
  attempt: Attempt,
  call: CallContext,
  deps: WorkerDeps,
  contexts: ExecutionContexts,
): Promise<ModelFact> {
  const { prepared } = input;
  const { toolset } = await contexts.of(input.executionId, prepared);
  const isSummary = input.purpose === 'summary';
  const stream = isSummary ? silentStream : createMessageStream(input.executionId, input.callId, attempt.number, deps);
  // Whatever an earlier attempt had streamed is void.
  if (attempt.number > 1) stream.retry(attempt.number - 1, 'the model call is made again', 0);
  const startedAtMs = deps.clock.now();
  const outcome = await deps.models.complete(
    {
      model: prepared.model,
      systemPrompt: isSummary ? summaryPrompt : prepared.systemPrompt,
      messages: isSummary ? [...input.messages, summaryRequest] : input.messages,
      // Also for a summary: some providers refuse a transcript with calls of tools that they are not told of.
      tools: toolset.specs,
      ...prepared.modelOptions,
    },
    (delta) => stream.push(delta),
    call.signal,
  );
  const durationMs = deps.clock.now() - startedAtMs;
  deps.meter.record(modelFact(input, attempt, outcome, { startedAtMs, durationMs }));
  logCall(deps, {
    execution: input.executionId,
    turn: input.turn,
    called: { model: prepared.model, attempt: attempt.number },
    durationMs,
    reason: outcome.ok ? undefined : outcome.failure.message,
  });
  if (outcome.ok) {
    stream.complete(outcome.result.message.content);
    return answerOf(outcome.result, toolset, prepared, deps.redactor.redact(outcome.result.message.content));
  }
  return judge(outcome.failure, attempt, call, stream);
}

/** A summary is between the agent and itself. */
const silentStream: MessageStream = { push: () => undefined, complete: () => undefined, retry: () => undefined };

function modelFact(
  { executionId, callId, prepared }: CallModelInput,
  attempt: Attempt,
  outcome: ModelOutcome,
  times: { readonly startedAtMs: number; readonly durationMs: number },
): WorkFact {
  const result = outcome.ok ? outcome.result : undefined;
  return {
    type: 'model_called',
    executionId,
    callId,
    agentName: prepared.agentName,
    traceparent: prepared.traceparent,
    attempt: attempt.number,
    model: prepared.model,
    outcome: outcome.ok ? 'success' : outcome.failure.kind,
    usage: result?.usage ?? noUsage,
    toolCalls: result?.message.toolCalls.length ?? 0,
    finishReason: result?.finishReason,
    answeredBy: result?.model,
    firstDeltaMs: result?.firstDeltaMs,
    costUsd: result?.costUsd,
    chargedUsd: result === undefined ? undefined : costOf(prepared.price, result.usage, result.costUsd),
    ...outcome.traffic,
    ...times,
  };
}

/** A failure that may pass is thrown for Temporal to try again; one that cannot, or did not, is the agent's to handle. */
function judge(failure: ModelFailure, attempt: Attempt, call: CallContext, stream: MessageStream): ModelFact {
  if (call.signal.aborted && call.signal.reason === 'drain')
    throw passing('The worker stopped during the model call', 1);
  const isHopeless = (failure.retryAfterMs ?? 0) > retryAfterMsMax;
  if (isRetryableFailure(failure.kind) && attempt.number < providerAttemptsMax && !isHopeless) {
    const delayMs = failure.retryAfterMs ?? backoffDelayMs(attempt.number, providerBackoff);
    stream.retry(attempt.number, failure.message, delayMs);
    throw passing(failure.message, delayMs);
  }
  return { type: 'failure', failure };
}

/** Half of what Temporal takes as one payload (2 MB), with the characters that JSON and UTF-8 write longer. */
const answerCharactersMax = 500_000;

/** `content`: the text without secrets, as everybody else sees it; journal and history keep it. */
function answerOf(result: ModelResult, toolset: Toolset, prepared: PreparedAgent, content: string): ModelFact {
  if (JSON.stringify(result.message).length > answerCharactersMax) {
    const message = `The model answered with more than ${answerCharactersMax} characters at once; ask it for less, or for a file`;
    return { type: 'failure', failure: { kind: 'bad_response', message } };
  }
  // A call without a tool fails by itself and touches nothing.
  const effects = result.message.toolCalls.map(
    (call): ToolEffect => toolset.tools.get(call.name)?.effect(call.arguments) ?? 'read_only',
  );
  const plans = result.message.toolCalls.map((call) => toolset.tools.get(call.name)?.plan?.(call.arguments) ?? null);
  const costUsd = costOf(prepared.price, result.usage, result.costUsd);
  const isJudged = prepared.outputSchema !== undefined && effects.length === 0;
  return {
    type: 'answer',
    message: { ...result.message, content },
    effects,
    ...(plans.some((plan) => plan !== null) ? { plans } : {}),
    ...(costUsd === undefined ? {} : { costUsd }),
    ...(isJudged ? { structured: judgeAnswer(content, prepared.outputSchema) } : {}),
    usage: result.usage,
    isFiltered: result.finishReason === 'content_filter',
    ...(result.verdict === undefined ? {} : { verdict: result.verdict }),
  };
}

/** The journal is ours and owner-only: its shape is checked as far as a torn or foreign file could differ. */
function reviveModelFact(recorded: unknown): ModelFact | undefined {
  if (typeof recorded !== 'object' || recorded === null || !('type' in recorded)) return undefined;
  return recorded.type === 'answer' || recorded.type === 'failure' ? (recorded as ModelFact) : undefined;
}
