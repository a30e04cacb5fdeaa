// The activity that makes one tool call, at most once, and tells what became of it.
import * as v from 'valibot';
import { toolResultSchema, type ToolResult } from '../../protocol/tool.ts';
import type { CallContext } from '../calls.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import { localHeartbeatEveryMs, remoteHeartbeatEveryMs } from '../timing.ts';
import { passing, runAttempt } from './attempt.ts';
import { logCall } from './call-log.ts';
import type { ExecutionContexts } from './execution-context.ts';
import { createLateness } from './lateness.ts';
import { createToolEvents } from './tool-events.ts';
import type { AgentActivities, CallToolInput, ToolFact } from './types.ts';

export function createCallTool(
  session: Session,
  deps: WorkerDeps,
  contexts: ExecutionContexts,
): AgentActivities['callTool'] {
  const heartbeatEveryMs = session.isLocal ? localHeartbeatEveryMs : remoteHeartbeatEveryMs;
  const lateness = createLateness(session.isLocal ? 0 : undefined, () => deps.clock.elapsed());
  return async (input) => {
    const { call, executionId } = input;
    const interrupted = (outputSeen: string): ToolResult => {
      const result = interruptedResult(outputSeen);
      record(input, result, true, deps);
      return result;
    };
    const { staleAfterMs = Number.POSITIVE_INFINITY } = input;
    const isLate = (delayMs: number): boolean => lateness(delayMs, staleAfterMs);
    const attempted = { executionId, callId: call.callId, heartbeatEveryMs, isLate };
    const result = await runAttempt(attempted, deps, (attempt) =>
      deps.calls.run<ToolResult>(
        {
          executionId,
          callId: call.callId,
          turn: input.turn,
          attempt: attempt.number,
          scheduledAtMs: attempt.scheduledAtMs,
          effect: call.effect,
          // Nobody but the holder of the lease gets it.
          isOursAlone: input.prepared.lease?.journalId === session.journalId,
          mayHaveStarted: input.mayHaveStarted === true,
        },
        {
          // A control plane that is away must not make a call that never ran look interrupted.
          prepare: async () => void (await contexts.of(input.executionId, input.prepared)),
          mayBegin: attempt.mayBegin,
          start: (context) => runTool(input, context, session, deps, contexts),
          interrupted,
          revive: (recorded) => {
            const parsed = v.safeParse(toolResultSchema, recorded);
            return parsed.success ? parsed.output : undefined;
          },
        },
      ),
    );
    // Also after a recorded or interrupted result: an earlier worker may have died before it said so.
    const events = createToolEvents(input, deps);
    for (const { code, message } of limitNotices(input, result)) events.notice(code, message);
    events.completed(result);
    return factOf(call.callId, result);
  };
}

async function runTool(
  input: CallToolInput,
  call: CallContext,
  session: Session,
  deps: WorkerDeps,
  contexts: ExecutionContexts,
): Promise<ToolResult> {
  const { prepared } = input;
  const context = await contexts.of(input.executionId, prepared);
  const tool = context.toolset.tools.get(input.call.name);
  const events = createToolEvents(input, deps);
  events.started();
  if (tool === undefined) {
    const result = unknownTool(input.call.name, [...context.toolset.tools.keys()]);
    record(input, result, false, deps);
    return result;
  }
  const result = await tool.run(input.call.arguments, {
    callId: input.call.callId,
    executionId: input.executionId,
    workspace: context.workspace,
    environment: context.environment,
    spawner: deps.spawner,
    signal: call.signal,
    onOutput: (chunk) => {
      const text = events.output(chunk);
      if (text !== '') call.onOutput(text);
    },
    limits: { outputBytesMax: prepared.limits.toolOutputBytesMax, timeoutMs: prepared.limits.toolTimeMsMax },
    python: { directory: session.directories.python },
    readExecution: (executionId) => deps.controlPlane.getExecution(executionId),
  });
  record(input, result, true, deps);
  if (result.status === 'interrupted' && input.call.effect !== 'side_effecting') {
    throw passing('The worker stopped during a call that may simply run again', 1);
  }
  return redacted(result, deps);
}

/** The limits that cut this call short, each as people are told of it. */
function limitNotices({ call, prepared }: CallToolInput, result: ToolResult): { code: string; message: string }[] {
  const { originalBytes, isOutOfTime } = result;
  const notices = [];
  if (isOutOfTime === true) {
    const message = `${call.name} was stopped at its time limit after ${Math.round(result.durationMs / 1000)} s`;
    notices.push({ code: 'limit_tool_time', message });
  }
  // Tools have smaller bounds of their own, which are no limit of the execution.
  if (originalBytes !== undefined && originalBytes > prepared.limits.toolOutputBytesMax) {
    const message = `The output of ${call.name} was cut to ${prepared.limits.toolOutputBytesMax} of ${originalBytes} bytes`;
    notices.push({ code: 'limit_tool_output', message });
  }
  return notices;
}

function record(input: CallToolInput, result: ToolResult, isKnown: boolean, deps: WorkerDeps): void {
  const { executionId, prepared, call } = input;
  deps.meter.record({
    type: 'tool_called',
    executionId,
    callId: call.callId,
    agentName: prepared.agentName,
    traceparent: prepared.traceparent,
    startedAtMs: deps.clock.now() - result.durationMs,
    durationMs: result.durationMs,
    tool: call.name,
    isKnown,
    outcome: result.status,
  });
  logCall(deps, {
    execution: executionId,
    turn: input.turn,
    called: { tool: call.name },
    durationMs: result.durationMs,
    reason: result.status === 'success' ? undefined : (result.error ?? result.status),
  });
}

function redacted(result: ToolResult, deps: WorkerDeps): ToolResult {
  const output = deps.redactor.redact(result.output);
  return result.error === undefined
    ? { ...result, output }
    : { ...result, output, error: deps.redactor.redact(result.error) };
}

function unknownTool(name: string, known: readonly string[]): ToolResult {
  const choice = known.length === 0 ? 'this agent has no tools' : `the tools are ${known.join(', ')}`;
  const sentence = `There is no tool named ${name}: ${choice}`;
  return { status: 'failed', output: sentence, error: sentence, durationMs: 0 };
}

function interruptedResult(outputSeen: string): ToolResult {
  const sentence = 'The worker stopped while this call was running, so it is not known whether it took effect';
  const seen =
    outputSeen === '' ? 'It had printed nothing that was kept.' : `What it had printed:\n${outputSeen.toWellFormed()}`;
  return { status: 'interrupted', output: `${sentence}. ${seen}`, error: sentence, durationMs: 0 };
}

function factOf(callId: string, result: ToolResult): ToolFact {
  const isError = result.status !== 'success';
  const needsReason = isError && result.error !== undefined && !result.output.includes(result.error);
  return { callId, content: needsReason ? `${result.output}\n[${result.error}]` : result.output, isError };
}
