// The skill `workflow_executor`: declared workflows, each a tool that runs its steps in order and reports every one.
import * as v from 'valibot';
import { cutHead } from '../lib/text.ts';
import type { ResolvedSkill } from '../protocol/tool.ts';
import {
  type SkillTools,
  type SkillType,
  namesSchema,
  parseConfiguration,
  secondsSchema,
  setting,
} from './configuration.ts';
import { declarationProblem, declaredCommandEntries, renderCommand } from './declared-command.ts';
import { type Arguments, inputOf, parametersSchema } from './parameters.ts';
import { type CommandPolicy, judgeArguments } from './policy.ts';
import { outcomeOf, runProcess } from './run-process.ts';
import { type Attempt, type Tool, type ToolOutcome, type ToolRun, defineTool, failure } from './tool.ts';

const workflowsMax = 50;
const stepsMax = 50;
const secondsDefault = 600;
const lookTimeoutMs = 5_000;
/** A variable's share of what the kernel takes as environment; larger results go through files of the workspace. */
const previousOutputBytesMax = 30_000;

const stepSchema = v.strictObject({
  name: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(100)),
  /** Goes on with the next step when this one fails. */
  continue_on_error: v.optional(v.boolean(), false),
  ...declaredCommandEntries,
});
const workflowSchema = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9_-]{0,50}$/)),
  description: v.optional(v.pipe(v.string(), v.maxLength(2_000)), ''),
  parameters: v.optional(parametersSchema, {}),
  steps: v.pipe(v.array(stepSchema), v.minLength(1), v.maxLength(stepsMax)),
});
type Workflow = v.InferOutput<typeof workflowSchema>;
type Step = Workflow['steps'][number];

const entries = {
  workflows: setting(
    v.pipe(v.array(workflowSchema), v.maxLength(workflowsMax)),
    'each with name, description, parameters (JSON Schema) and steps (name, command with {{places}}, and optionally timeout, continue_on_error, working_directory, environment_variables)',
  ),
  allowed_commands: setting(namesSchema, 'only these commands may be steps'),
  blocked_commands: setting(namesSchema, 'these commands may not be steps'),
  timeout: setting(secondsSchema, 'seconds all steps of a workflow may take together; 600 unless set'),
};

export const workflowExecutorSkill = {
  type: 'workflow_executor',
  description: 'Run declared workflows',
  entries,
  variants: {},
  create: createWorkflowTools,
} satisfies SkillType;

function createWorkflowTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, workflowExecutorSkill);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const { configuration } = parsed;
  const problems = [...parsed.problems];
  const policy: CommandPolicy = {
    allowed: configuration.allowed_commands,
    blocked: configuration.blocked_commands ?? [],
    isReadOnly: false,
  };
  const workflows: Workflow[] = [];
  const tools: Tool[] = [];
  for (const workflow of configuration.workflows ?? []) {
    const input = usableInput(workflow);
    if (!input.ok) {
      problems.push(`Workflow ${workflow.name} of skill ${skill.name} is not available: ${input.problem}`);
      continue;
    }
    workflows.push(workflow);
    tools.push(createRunWorkflow(workflow, input.value, policy, configuration.timeout ?? secondsDefault));
  }
  return { tools: [createList(workflows), createInfo(workflows), ...tools], problems };
}

function usableInput(workflow: Workflow): Attempt<v.GenericSchema<unknown, object>> {
  for (const step of workflow.steps) {
    const problem = declarationProblem(step, workflow.parameters);
    if (problem !== undefined) return { ok: false, problem: `step ${step.name}: ${problem}` };
  }
  return inputOf(workflow.parameters);
}

function toolNameOf(workflow: Workflow): string {
  return `run_${workflow.name}`;
}

function createList(workflows: readonly Workflow[]): Tool {
  return defineTool({
    name: 'list_all_workflows',
    description: 'Lists the workflows there are, what each is for, and the tool that runs it.',
    input: v.strictObject({}),
    effect: 'read_only',
    timeoutMs: lookTimeoutMs,
    run: () => {
      const lines = workflows.map(
        (workflow) => `${workflow.name}: ${workflow.description} [tool ${toolNameOf(workflow)}]`,
      );
      return Promise.resolve({ status: 'success', output: lines.join('\n') || '[there are no workflows]' });
    },
  });
}

function createInfo(workflows: readonly Workflow[]): Tool {
  return defineTool({
    name: 'get_workflow_info',
    description: 'Shows the parameters and the steps of one workflow, without running it.',
    input: v.strictObject({ workflow_name: v.string() }),
    effect: 'read_only',
    timeoutMs: lookTimeoutMs,
    run: ({ workflow_name: name }) => {
      const workflow = workflows.find((candidate) => candidate.name === name);
      if (workflow === undefined) {
        const names = workflows.map((candidate) => candidate.name).join(', ');
        return Promise.resolve(failure(`There is no workflow ${name}; there are ${names || 'none'}`));
      }
      // Variables of steps may hold what the model need not know.
      const steps = workflow.steps.map((step) => ({ name: step.name, command: step.command }));
      const { description, parameters } = workflow;
      const shown = { name, description, tool: toolNameOf(workflow), parameters, steps };
      return Promise.resolve({ status: 'success', output: JSON.stringify(shown, undefined, 1) });
    },
  });
}

function createRunWorkflow(
  workflow: Workflow,
  input: v.GenericSchema<unknown, object>,
  policy: CommandPolicy,
  seconds: number,
): Tool {
  const steps = workflow.steps.map((step) => step.name).join(', ');
  return defineTool({
    name: toolNameOf(workflow),
    description: `${workflow.description} Runs the workflow ${workflow.name} with the steps ${steps}.`,
    input,
    effect: 'side_effecting',
    timeoutMs: seconds * 1000,
    run: (given, run) => runWorkflow(workflow, given as Arguments, run, policy),
  });
}

/** Judges every step before the first one runs: half a workflow is worse than none. */
async function runWorkflow(
  workflow: Workflow,
  given: Arguments,
  run: ToolRun,
  policy: CommandPolicy,
): Promise<ToolOutcome> {
  for (const step of workflow.steps) {
    const rendered = renderCommand(step, given, run.workspace);
    if (!rendered.ok) return failure(`Nothing was run. Step ${step.name}: ${rendered.problem}`);
    const judgement = judgeArguments(rendered.value.command, policy);
    if (!judgement.isAllowed) return failure(`Nothing was run. Step ${step.name} is not allowed: ${judgement.reason}`);
  }
  const reports: string[] = [];
  let failed: string | undefined;
  let previous = '';
  for (const [at, step] of workflow.steps.entries()) {
    const title = `step ${at + 1} of ${workflow.steps.length}: ${step.name}`;
    if (failed !== undefined || run.signal.aborted) {
      reports.push(`== ${title}\n[not run]`);
      continue;
    }
    run.onOutput(`== ${title}\n`);
    const outcome = await runStep(step, given, run, previous);
    reports.push(`== ${title}\n${outcome.output}`);
    previous = cutHead(outcome.stepOutput, previousOutputBytesMax);
    if (outcome.status === 'failed' && !step.continue_on_error) failed = step.name;
  }
  const output = reports.join('\n');
  if (failed === undefined) return { status: run.signal.aborted ? 'failed' : 'success', output };
  return { status: 'failed', output, error: `Step ${failed} of the workflow ${workflow.name} failed` };
}

async function runStep(
  step: Step,
  given: Arguments,
  run: ToolRun,
  previous: string,
): Promise<ToolOutcome & { readonly stepOutput: string }> {
  const rendered = renderCommand(step, given, run.workspace);
  if (!rendered.ok) return { ...failure(rendered.problem), stepOutput: '' };
  const { command, cwd, environment } = rendered.value;
  const limitMs = step.timeout === undefined ? undefined : step.timeout * 1000;
  const signal = limitMs === undefined ? run.signal : AbortSignal.any([run.signal, AbortSignal.timeout(limitMs)]);
  const outcome = await runProcess(
    { command, cwd, environment: { ...environment, PREVIOUS_OUTPUT: previous } },
    { ...run, signal, outputBytesMax: Math.max(Math.floor(run.outputBytesMax / stepsMax), 2_000) },
  );
  if (!outcome.ok) return { ...failure(outcome.problem), stepOutput: '' };
  const shown = outcomeOf(outcome.end);
  const note = signal.aborted && !run.signal.aborted ? `\n[stopped at the step's limit of ${step.timeout ?? 0} s]` : '';
  return { ...shown, output: `${shown.output}${note}`, stepOutput: outcome.end.output.trimEnd() };
}
