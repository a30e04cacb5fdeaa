// The skill `agent_communication`: an agent starts other agents and teams, speaks to their executions and looks at them.
import * as v from 'valibot';
import { KubiyaError } from '../errors.ts';
import { cutHead } from '../lib/text.ts';
import type { Execution } from '../protocol/control-plane.ts';
import type { ResolvedSkill } from '../protocol/tool.ts';
import { type SkillTools, type SkillType, namesSchema, parseConfiguration, setting } from './configuration.ts';
import executeAgentText from './execute-agent.txt' with { type: 'text' };
import executeTeamText from './execute-team.txt' with { type: 'text' };
import followupExecutionText from './followup-execution.txt' with { type: 'text' };
import getExecutionStatusText from './get-execution-status.txt' with { type: 'text' };
import {
  type Attempt,
  type Tool,
  type ToolOutcome,
  type ToolRun,
  definePlannedTool,
  defineTool,
  failure,
} from './tool.ts';

const operations = ['execute_agent', 'execute_team', 'followup_execution', 'get_execution_status'] as const;
/** An agent that runs agents: documented for the variant `limited`. */
const depthDefault = 2;
/** Deeper chains are loops. */
const depthMax = 10;
/** An hour, unless the model asks for less or more. */
const waitSecondsDefault = 3_600;
const waitSecondsMax = 86_400;
/** Longer prompts belong in a file; four of them fit into what Temporal takes as one payload. */
const promptCharactersMax = 100_000;
const statusTimeoutMs = 30_000;

const entries = {
  allowed_operations: setting(v.array(v.picklist(operations)), 'the tools it gives; all unless set'),
  allowed_agents: setting(namesSchema, 'ids or names of the agents and teams it may work with; all unless set'),
  max_execution_depth: setting(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(depthMax)),
    'how deep executions may start each other; 2 unless set',
  ),
};

export const agentCommunicationSkill = {
  type: 'agent_communication',
  description: 'Run other agents and teams and work with their executions',
  entries,
  variants: {
    read_only: {
      description: 'only looks at executions',
      values: { allowed_operations: ['get_execution_status'] },
      locked: ['allowed_operations'],
    },
    limited: {
      description: 'runs agents, not teams',
      values: {
        allowed_operations: ['execute_agent', 'followup_execution', 'get_execution_status'],
        max_execution_depth: 2,
      },
      locked: ['max_execution_depth'],
    },
    full_orchestration: {
      description: 'runs agents and teams that run others',
      values: { allowed_operations: [...operations], max_execution_depth: 5 },
    },
  },
  create: createCommunicationTools,
} satisfies SkillType;

interface CommunicationPolicy {
  readonly allowed: readonly string[] | undefined;
  readonly depthMax: number;
}

function createCommunicationTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, agentCommunicationSkill);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const { configuration, problems } = parsed;
  const policy: CommunicationPolicy = {
    allowed: configuration.allowed_agents,
    depthMax: configuration.max_execution_depth ?? depthDefault,
  };
  const wanted: readonly string[] = configuration.allowed_operations ?? operations;
  const tools = [
    createExecute('agent', executeAgentText, policy),
    createExecute('team', executeTeamText, policy),
    createFollowUp(policy),
    createGetStatus(policy),
  ];
  return { tools: tools.filter(({ name }) => wanted.includes(name)), problems };
}

const prompt = v.pipe(v.string(), v.minLength(1), v.maxLength(promptCharactersMax));
const id = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(200));
const waiting = {
  wait_for_completion: v.optional(
    v.pipe(v.boolean(), v.description('false returns at once with the execution id')),
    true,
  ),
  timeout: v.optional(
    v.pipe(v.number(), v.minValue(1), v.maxValue(waitSecondsMax), v.description('Seconds to wait for the answer')),
    waitSecondsDefault,
  ),
};

function createExecute(kind: 'agent' | 'team', description: string, policy: CommunicationPolicy): Tool {
  const plan = (entityId: string, given: { prompt: string; wait_for_completion: boolean; timeout: number }) => {
    const refusal = refusalOf(policy, [entityId]);
    if (refusal !== undefined) return { ok: false, problem: refusal } as const;
    const value = {
      type: 'execution',
      entityType: kind,
      entityId,
      prompt: given.prompt,
      isAwaited: given.wait_for_completion,
      timeoutMs: given.timeout * 1000,
      depthMax: policy.depthMax,
    } as const;
    return { ok: true, value } as const;
  };
  const common = {
    description,
    // The workflow starts it once, whatever happens; several run side by side.
    effect: 'read_only',
    usualTimeMs: 0,
  } as const;
  if (kind === 'agent') {
    return definePlannedTool({
      ...common,
      name: 'execute_agent',
      input: v.strictObject({ agent_id: id, prompt, ...waiting }),
      plan: (given) => plan(given.agent_id, given),
    });
  }
  return definePlannedTool({
    ...common,
    name: 'execute_team',
    input: v.strictObject({ team_id: id, prompt, ...waiting }),
    plan: (given) => plan(given.team_id, given),
  });
}

function createFollowUp(policy: CommunicationPolicy): Tool {
  return definePlannedTool({
    name: 'followup_execution',
    description: followupExecutionText,
    input: v.strictObject({ execution_id: id, followup_prompt: prompt, ...waiting }),
    effect: 'side_effecting',
    usualTimeMs: 0,
    plan: (given) => ({
      ok: true,
      value: {
        type: 'follow_up',
        executionId: given.execution_id,
        message: given.followup_prompt,
        isAwaited: given.wait_for_completion,
        timeoutMs: given.timeout * 1000,
        ...(policy.allowed === undefined ? {} : { allowedEntities: [...policy.allowed] }),
      },
    }),
  });
}

function createGetStatus(policy: CommunicationPolicy): Tool {
  return defineTool({
    name: 'get_execution_status',
    description: getExecutionStatusText,
    input: v.strictObject({ execution_id: id }),
    effect: 'read_only',
    timeoutMs: statusTimeoutMs,
    run: async (given, run) => {
      const execution = await readExecution(given.execution_id, run);
      return execution.ok ? statusOf(execution.value, run, policy) : failure(execution.problem);
    },
  });
}

async function readExecution(executionId: string, run: ToolRun): Promise<Attempt<Execution>> {
  if (run.readExecution === undefined) return { ok: false, problem: 'This worker cannot look at executions' };
  try {
    return { ok: true, value: await run.readExecution(executionId) };
  } catch (error) {
    if (error instanceof KubiyaError) return { ok: false, problem: error.message };
    throw error;
  }
}

function statusOf(execution: Execution, run: ToolRun, policy: CommunicationPolicy): ToolOutcome {
  const refusal = refusalOf(policy, [execution.entity_id ?? '', execution.entity_name ?? '']);
  if (refusal !== undefined) return failure(refusal);
  const shown = {
    execution_id: execution.id,
    status: execution.status.toLowerCase(),
    agent: execution.entity_name ?? execution.entity_id ?? undefined,
    started_at: execution.started_at ?? undefined,
    completed_at: execution.completed_at ?? undefined,
    error: execution.error_message ?? undefined,
    response: cutHead(execution.response ?? '', Math.floor(run.outputBytesMax / 2)),
  };
  return { status: 'success', output: JSON.stringify(shown, undefined, 1) };
}

function refusalOf({ allowed }: CommunicationPolicy, names: readonly string[]): string | undefined {
  if (allowed === undefined || names.some((name) => allowed.includes(name))) return undefined;
  return `${names.find((name) => name !== '') ?? 'This'} is not among the agents and teams that may be used (${allowed.join(', ')})`;
}
