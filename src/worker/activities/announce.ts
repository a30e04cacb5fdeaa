// The local activity that says what becomes of a call which the workflow itself carries out, as call-tool.ts does for the others.
import type { WorkerDeps } from '../deps.ts';
import { logCall } from './call-log.ts';
import { createToolEvents } from './tool-events.ts';
import type { AgentActivities } from './types.ts';

export function createAnnounce(deps: WorkerDeps): AgentActivities['announce'] {
  return async ({ result, approval, ...input }) => {
    const { executionId, turn, call, agent } = input;
    const events = createToolEvents(input, deps);
    if (result === undefined) {
      events.started();
      return;
    }
    if (approval !== undefined && approval.status !== 'pending') {
      const { approvalId, status, resolvedBy, reason } = approval;
      events.approval('approval_resolved', {
        approval_id: approvalId,
        tool_execution_id: call.callId,
        status,
        ...(resolvedBy === undefined ? {} : { resolved_by: resolvedBy }),
        ...(reason === undefined ? {} : { reason: deps.redactor.redact(reason) }),
      });
    }
    const output = deps.redactor.redact(result.output);
    events.completed(
      result.error === undefined
        ? { ...result, output }
        : { ...result, output, error: deps.redactor.redact(result.error) },
    );
    deps.meter.record({
      type: 'tool_called',
      executionId,
      callId: call.callId,
      agentName: agent.agentName,
      traceparent: agent.traceparent,
      startedAtMs: deps.clock.now() - result.durationMs,
      durationMs: result.durationMs,
      tool: call.name,
      isKnown: true,
      outcome: result.status,
    });
    logCall(deps, {
      execution: executionId,
      turn,
      called: { tool: call.name },
      durationMs: result.durationMs,
      reason: result.status === 'success' ? undefined : (result.error ?? result.status),
    });
  };
}
