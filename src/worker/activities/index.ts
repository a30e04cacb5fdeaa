// The activities of an agent execution, made from a session and the outside world.
import type { Session, WorkerDeps } from '../deps.ts';
import { createCallModel } from './call-model.ts';
import { createCallTool } from './call-tool.ts';
import { createExecutionContexts } from './execution-context.ts';
import { createLookAtLease } from './lease.ts';
import { createPrepare } from './prepare.ts';
import { createReport } from './report.ts';
import type { AgentActivities } from './types.ts';

/** `lastPollAgeMs`: since somebody polled a task queue for activities, as Temporal sees it. */
export function createActivities(
  session: Session,
  deps: WorkerDeps,
  lastPollAgeMs: (taskQueue: string) => Promise<number>,
): AgentActivities {
  const contexts = createExecutionContexts(session, deps);
  const prepare = createPrepare(session, deps, contexts);
  const callModel = createCallModel(session, deps, contexts);
  const callTool = createCallTool(session, deps, contexts);
  const lookAtLease = createLookAtLease(session, deps, lastPollAgeMs);
  const report = createReport(deps, contexts);
  const { executions } = deps;
  return {
    prepare: (input) => {
      executions.seen(input.execution_id);
      return prepare(input);
    },
    callModel: (input) => {
      executions.seen(input.executionId);
      return callModel(input);
    },
    callTool: (input) => {
      executions.seen(input.executionId);
      return callTool(input);
    },
    lookAtLease: (input) => {
      executions.seen(input.executionId);
      return lookAtLease(input);
    },
    report: (input) => {
      executions.seen(input.executionId);
      return report(input);
    },
  };
}
