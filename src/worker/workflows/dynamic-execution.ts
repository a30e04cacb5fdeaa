// DynamicAgentExecutionWorkflow: runs an agent that is in the input itself and nowhere else.
import {
  dynamicExecutionInputSchema,
  dynamicWorkflowType,
  type AgentExecutionResult,
} from '../../protocol/workflow.ts';
import { bookkeeping } from './calls.ts';
import { type Carried, ExecutionRun } from './execution-run.ts';
import { parseInput } from './input.ts';

/** The error under the name that the cloud's control plane reads. */
type DynamicResult = AgentExecutionResult & { readonly error_message: string | null };

/** `carried` is ours alone: it comes from continue-as-new. */
export async function DynamicAgentExecutionWorkflow(rawInput: unknown, carried?: Carried): Promise<DynamicResult> {
  const input = parseInput(dynamicExecutionInputSchema, rawInput);
  const run = new ExecutionRun(
    {
      workflowType: dynamicWorkflowType,
      entityKind: 'agent',
      entityId: input.entity_id,
      input,
      prepare: () => bookkeeping.prepare(input),
    },
    carried,
  );
  run.listen();
  const result = await run.walk();
  return { ...result, error_message: result.error ?? null };
}
