// The activities of an agent execution, made from a session and the outside world.
import type { Membership } from '../../agent/state.ts';
import { membershipOf } from '../../agent/team.ts';
import { ownerExecutionId } from '../../protocol/workflow.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import { createAnnounce } from './announce.ts';
import { createOpenApproval, createReadApproval } from './approvals.ts';
import { createCallModel } from './call-model.ts';
import { createCallTool } from './call-tool.ts';
import { createDecideEnd } from './conversation.ts';
import { createClaudeCode } from './claude-code.ts';
import { createExecutionContexts } from './execution-context.ts';
import { createJobActivities } from './job-execution.ts';
import { createLookAtLease } from './lease.ts';
import { createPrepare } from './prepare.ts';
import { createRemoteExecutions } from './remote-executions.ts';
import { createReport } from './report.ts';
import { createMemberVoice } from './member-voice.ts';
import type { AgentActivities, PlannedCallInput } from './types.ts';

/** `lastPollAgeMs`: since somebody polled a task queue for activities, as Temporal sees it. */
export function createActivities(
  session: Session,
  outside: WorkerDeps,
  lastPollAgeMs: (taskQueue: string) => Promise<number>,
): AgentActivities {
  const { deps, introduce, forget } = createMemberVoice(outside);
  const contexts = createExecutionContexts(session, deps);
  const prepare = createPrepare(session, deps, contexts);
  const callModel = createCallModel(session, deps, contexts);
  const callTool = createCallTool(session, deps, contexts);
  const claudeCode = createClaudeCode(session, deps, contexts);
  const lookAtLease = createLookAtLease(session, deps, lastPollAgeMs);
  const report = createReport(deps, contexts);
  const seen = (executionId: string, membership?: Membership): void => {
    deps.executions.seen(ownerExecutionId(executionId));
    introduce(executionId, membership);
  };
  const introduced =
    <Input extends PlannedCallInput, Result>(activity: (input: Input) => Promise<Result>) =>
    (input: Input): Promise<Result> => {
      seen(input.executionId, input.agent.membership);
      return activity(input);
    };
  return {
    ...createJobActivities(deps),
    prepare: (input) => {
      const member = 'member' in input ? input.member : undefined;
      seen(input.execution_id, member ? membershipOf(input.execution_id, member) : undefined);
      return prepare(input);
    },
    callModel: (input) => {
      seen(input.executionId, input.prepared.membership);
      return callModel(input);
    },
    callTool: (input) => {
      seen(input.executionId, input.prepared.membership);
      return input.prepared.claudeCode === undefined ? callTool(input) : claudeCode(input);
    },
    lookAtLease: (input) => {
      seen(input.executionId);
      return lookAtLease(input);
    },
    report: async (input) => {
      seen(input.executionId, input.membership);
      await report(input);
      if (input.outcome !== undefined) forget(input.executionId);
    },
    announce: introduced(createAnnounce(deps)),
    openApproval: introduced(createOpenApproval(deps)),
    readApproval: createReadApproval(deps),
    ...createRemoteExecutions(session, deps),
    decideEnd: createDecideEnd(session, deps),
  };
}
