// Executions that an agent starts, speaks to and waits for, through the control plane.
import { terminalStatuses, type ExecutionStatus } from '../../protocol/workflow.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import { askOf, onceOnly } from './approvals.ts';
import type { AgentActivities, ExecutionLook, PlanOf } from './types.ts';

/** What another agent answers is one output of a tool. */
const answerCharactersMax = 100_000;

type RemoteActivities = Pick<
  AgentActivities,
  'startExecution' | 'lookAtExecution' | 'sendFollowUp' | 'cancelExecution'
>;

export function createRemoteExecutions(session: Session, { controlPlane, redactor }: WorkerDeps): RemoteActivities {
  return {
    startExecution: async ({ executionId, call, agent, plan }) => {
      const depth = (agent.depth ?? 0) + 1;
      if (plan.depthMax !== undefined && depth > plan.depthMax) {
        const problem = `Executions may start each other ${plan.depthMax} deep (max_execution_depth), and this one is there`;
        return { ok: false, problem };
      }
      const start = plan.entityType === 'team' ? controlPlane.executeTeam : controlPlane.executeAgent;
      const request = {
        prompt: plan.prompt,
        worker_queue_id: session.queueId,
        user_metadata: { parent_execution_id: executionId, parent_call_id: call.callId },
        depth,
      };
      const started = await askOf(() => start(plan.entityId, request, call.callId, onceOnly));
      return started.ok ? { ok: true, value: started.value.execution_id } : started;
    },
    lookAtExecution: ({ executionId, isCounted }) =>
      askOf(async (): Promise<ExecutionLook> => {
        const execution = await controlPlane.getExecution(executionId, onceOnly);
        const status = execution.status.toLowerCase();
        const hasEnded = terminalStatuses.has(status);
        const isAtRest = hasEnded || status === ('waiting_for_input' satisfies ExecutionStatus);
        const said = isAtRest || isCounted ? await conversationOf(executionId) : undefined;
        const error = execution.error_message ?? undefined;
        const answer = execution.response ?? said?.answer ?? '';
        return {
          status,
          isAtRest,
          answer: redactor
            .redact((hasEnded ? answer : (said?.answer ?? answer)).slice(0, answerCharactersMax))
            .toWellFormed(),
          ...(error === undefined || error === '' ? {} : { error: redactor.redact(error) }),
          messageCount: said?.count ?? 0,
        };
      }),
    sendFollowUp: async ({ call, plan }) => {
      const refusal = await refusalOf(plan);
      if (refusal !== undefined) return { ok: false, problem: refusal };
      const body = { message: plan.message, message_id: call.callId };
      const sent = await askOf(() => controlPlane.sendMessage(plan.executionId, body, onceOnly));
      return sent.ok ? { ok: true, value: null } : sent;
    },
    cancelExecution: async ({ executionId }) => {
      await askOf(() => controlPlane.cancelExecution(executionId, onceOnly));
    },
  };

  /** Which agent an execution is of is only known here; the agent's skill says which ones it may speak to. */
  async function refusalOf({ executionId, allowedEntities }: PlanOf<'follow_up'>): Promise<string | undefined> {
    if (allowedEntities === undefined) return undefined;
    const asked = await askOf(() => controlPlane.getExecution(executionId, onceOnly));
    if (!asked.ok) return asked.problem;
    const names = [asked.value.entity_id, asked.value.entity_name];
    if (names.some((name) => typeof name === 'string' && allowedEntities.includes(name))) return undefined;
    return `The execution ${executionId} is of none of the agents and teams that may be used (${allowedEntities.join(', ')})`;
  }

  async function conversationOf(executionId: string): Promise<{ count: number; answer: string } | undefined> {
    const session = await askOf(() => controlPlane.getSession(executionId, onceOnly));
    if (!session.ok) return undefined; // none was saved yet
    const { messages } = session.value;
    const last = messages.findLast((message) => message.role === 'assistant');
    return { count: messages.length, answer: typeof last?.content === 'string' ? last.content : '' };
  }
}
