// The activities of an agent execution, made from a session and the outside world.
import type { Session, WorkerDeps } from '../deps.ts';
import { createCallModel } from './call-model.ts';
import { createCallTool } from './call-tool.ts';
import { createExecutionContexts } from './execution-context.ts';
import { createPrepare } from './prepare.ts';
import { createReport } from './report.ts';
import type { AgentActivities } from './types.ts';

export function createActivities(session: Session, deps: WorkerDeps): AgentActivities {
  const contexts = createExecutionContexts(session, deps);
  const prepare = createPrepare(session, deps, contexts);
  const callModel = createCallModel(session, deps, contexts);
  const callTool = createCallTool(session, deps, contexts);
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
    report: (input) => {
      executions.seen(input.executionId);
      return report(input);
    },
  };
}
