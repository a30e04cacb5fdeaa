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
  return {
    prepare: createPrepare(session, deps, contexts),
    callModel: createCallModel(session, deps, contexts),
    callTool: createCallTool(session, deps, contexts),
    report: createReport(deps, contexts),
  };
}
