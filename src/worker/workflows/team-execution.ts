// TeamExecutionWorkflow: runs the leader of a team, whose members' parts are its child workflows.
import { teamExecutionInputSchema, teamWorkflowType, type AgentExecutionResult } from '../../protocol/workflow.ts';
import { bookkeeping } from './calls.ts';
import { type Carried, ExecutionRun } from './execution-run.ts';
import { parseInput } from './input.ts';

/** `carried` is ours alone: it comes from continue-as-new. */
export async function TeamExecutionWorkflow(rawInput: unknown, carried?: Carried): Promise<AgentExecutionResult> {
  const input = parseInput(teamExecutionInputSchema, rawInput);
  const run = new ExecutionRun(
    {
      workflowType: teamWorkflowType,
      entityKind: 'team',
      entityId: input.team_id,
      input,
      prepare: () => bookkeeping.prepare(input),
    },
    carried,
  );
  run.listen();
  return run.walk();
}
