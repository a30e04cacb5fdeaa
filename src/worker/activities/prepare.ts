// The first activity: resolves agent, skills, model and every limit, and reports that the execution runs.
import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { systemPromptOf } from '../../agent/prompt.ts';
import type { PreparedAgent } from '../../agent/state.ts';
import { membershipOf, teamRules, withinSlice } from '../../agent/team.ts';
import { KubiyaError } from '../../errors.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { ExecutionInput, MemberPart } from '../../protocol/workflow.ts';
import type { ResolvedSkill } from '../../protocol/tool.ts';
import { readSkillFolders } from '../../tools/skill-folder.ts';
import { createToolset, type Toolset } from '../../tools/toolset.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import {
  claudeCodeModel,
  claudeCodeOf,
  claudeCodeRuntime,
  claudeServersOf,
  permissionsOf,
} from '../../tools/claude-code/options.ts';
import { callTiming } from '../timing.ts';
import { asFailure } from './attempt.ts';
import { historyOf } from './conversation.ts';
import { type ExecutionContexts, workspaceOf } from './execution-context.ts';
import { ownLease } from './lease.ts';
import { discoverMcpTools, type McpSurroundings, readMcpConfiguration, sentencesOf } from './mcp.ts';
import { findSubject, type Subject } from './subject.ts';
import { checkedSchema, termsOf } from './terms.ts';
import type { AgentActivities, Prepared } from './types.ts';

/** Finding a running Ollama and reading three small resources; the local activity itself may take 30 s. */
const prepareLimitMs = 20_000;
/** Of version 00 of the W3C's trace context; telemetry/tracing.ts judges what it says. */
const traceparentCharactersMax = 55;

export function createPrepare(
  session: Session,
  deps: WorkerDeps,
  contexts: ExecutionContexts,
): AgentActivities['prepare'] {
  const said = new Set<string>();
  return async (input) => {
    try {
      const { prepared, problems, toolset } = await resolve(input, session, deps, contexts);
      const overruled = overruledTimes(toolset, session.activityTimeoutMs);
      for (const sentence of overruled) {
        if (!said.has(sentence)) deps.log.warn(sentence);
        said.add(sentence);
      }
      announce(deps, input.execution_id, input.prompt, prepared, [...problems, ...overruled]);
      return prepared;
    } catch (error) {
      throw asFailure(error);
    }
  };
}

interface Resolved {
  readonly prepared: Prepared;
  readonly toolset: Toolset;
  readonly problems: readonly string[];
}

async function resolve(
  input: ExecutionInput,
  session: Session,
  deps: WorkerDeps,
  contexts: ExecutionContexts,
): Promise<Resolved> {
  const [subject, history] = await Promise.all([
    findSubject(input, { controlPlane: deps.controlPlane, contexts }),
    historyOf(input, deps),
  ]);
  const { agent, skills, environment, members } = subject;
  const member = memberOf(input);
  const named = input.model_id ?? agent.model_id ?? undefined;
  const isClaudeCode = subject.runtime === claudeCodeRuntime;
  const model = isClaudeCode
    ? (session.modelOverride ?? named ?? claudeCodeModel)
    : await chooseModel(session, deps, named ?? member?.default_model ?? undefined);
  const workingDirectory = checkedDirectory(directoryOf(input, environment.working_dir));
  const terms = await termsOf({ input, model, configuration: agent.configuration, environment }, session, deps);
  const limits = member === undefined ? terms.limits : withinSlice(terms.limits, member.slice);
  const claudeCode = isClaudeCode
    ? claudeCodeOf(session.toolEnvironment, agent.configuration ?? {}, limits)
    : undefined;
  const outputSchema = checkedSchema(input.output_schema);
  const traceparent = textOf(input.user_metadata?.['traceparent'])?.slice(0, traceparentCharactersMax);
  const workspace = workspaceOf(session, input.execution_id, workingDirectory);
  const extras = await findExtras(input, { environment, workspace, isClaudeCode }, session, deps);
  const enabledSkills = [...skills, ...extras.skills].filter((skill) => skill.enabled ?? true);
  const toolset = isClaudeCode ? createToolset([]) : createToolset(enabledSkills);
  const claudeProblems = isClaudeCode ? permissionsOf(enabledSkills.map(recordedSkill)).problems : [];
  const systemPrompt = systemPromptOf({
    agentName: agent.name,
    // The control plane sends the execution's prompt, or the agent's again.
    prompt: input.system_prompt ?? environment.system_prompt ?? agent.system_prompt ?? undefined,
    hasTools: toolset.specs.length + extras.count > 0 || members !== undefined,
    workingDirectory,
    outputSchema,
  });
  // The cloud says of no execution whether it is a chat.
  const isEndUndecided =
    session.signingKey === undefined && member === undefined && typeof input.is_conversation !== 'boolean';
  const prepared: Prepared = {
    agentId: agent.id,
    entityKind: subject.entityKind,
    agentName: agent.name,
    agentVersion: agent.updated_at ?? '',
    systemPrompt: members === undefined ? systemPrompt : `${systemPrompt}\n\n${teamRules(members)}`,
    model,
    modelOptions: modelOptionsOf(agent, input.model_config ?? {}),
    skills: enabledSkills.map(recordedSkill),
    ...(workingDirectory === undefined ? {} : { workingDirectory }),
    ...extras.recorded,
    ...(claudeCode === undefined ? {} : { claudeCode }),
    limits,
    price: terms.price,
    ...(outputSchema === undefined ? {} : { outputSchema }),
    timing: callTiming(session.isLocal, claudeCode?.turnTimeMsMax ?? limits.toolTimeMsMax),
    lease: member?.lease ?? ownLease(session),
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(members === undefined ? {} : { members }),
    ...(member === undefined ? {} : { membership: membershipOf(input.execution_id, member) }),
    ...(typeof input.depth === 'number' ? { depth: input.depth } : {}),
    ...(history === undefined ? {} : { history }),
    ...(isEndUndecided ? { isEndUndecided: true } : {}),
  };
  return { prepared, toolset, problems: [...toolset.problems, ...claudeProblems, ...extras.problems] };
}

function memberOf(input: ExecutionInput): MemberPart | undefined {
  return 'member' in input ? (input.member ?? undefined) : undefined;
}

/** A member works where its team does. */
function directoryOf(input: ExecutionInput, environmental: string | null | undefined): string | undefined {
  const member = memberOf(input);
  if (member !== undefined) return member.working_directory ?? undefined;
  const configuration = 'team_id' in input ? input.team_config : input.agent_config;
  return environmental ?? textOf(configuration?.['cwd']);
}

function recordedSkill({ id, name, type, variant, configuration }: Subject['skills'][number]): ResolvedSkill {
  const chosen = typeof variant === 'string' ? { variant } : {};
  return { id, name, type, enabled: true, configuration: { ...chosen, ...configuration } };
}

interface Extras {
  readonly skills: ReturnType<typeof readSkillFolders>['skills'];
  readonly recorded: Pick<PreparedAgent, 'mcpTools' | 'mcpServers' | 'skillInstructions'>;
  /** Tools and instructions. */
  readonly count: number;
  readonly problems: readonly string[];
}

/** What comes from skill folders and MCP servers. */
async function findExtras(
  { execution_id: executionId, mcp_servers: asked }: Pick<ExecutionInput, 'execution_id' | 'mcp_servers'>,
  {
    environment,
    workspace,
    isClaudeCode,
  }: Pick<McpSurroundings, 'environment' | 'workspace'> & { isClaudeCode: boolean },
  session: Session,
  deps: WorkerDeps,
): Promise<Extras> {
  const folders = readSkillFolders(environment.skill_dirs ?? []);
  const askedServers = asked ?? undefined;
  const surroundings = { environment, askedServers, folderServers: folders.mcpServers, workspace };
  const configuration = readMcpConfiguration(session, deps, surroundings);
  // The program starts its servers itself.
  const mcp = isClaudeCode
    ? { tools: [], problems: sentencesOf(claudeServersOf(configuration, workspace).problems) }
    : await discoverMcpTools(executionId, configuration, deps);
  return {
    skills: folders.skills,
    recorded: {
      ...(mcp.tools.length === 0 ? {} : { mcpTools: mcp.tools }),
      ...(askedServers === undefined || Object.keys(askedServers).length === 0 ? {} : { mcpServers: askedServers }),
      ...(folders.instructions.length === 0 ? {} : { skillInstructions: folders.instructions }),
    },
    count: mcp.tools.length + folders.instructions.length,
    problems: mcp.problems,
  };
}

/** What ACTIVITY_TIMEOUT cuts short, one sentence a tool. An agent's own limit is its own wish. */
function overruledTimes({ tools }: Toolset, activityTimeoutMs: number): string[] {
  return [...tools.values()]
    .filter(({ usualTimeMs }) => usualTimeMs > activityTimeoutMs)
    .map(
      ({ name, usualTimeMs }) =>
        `ACTIVITY_TIMEOUT ends calls of ${name} after ${formatDuration(activityTimeoutMs)}, before their own limit of ${formatDuration(usualTimeMs)}`,
    );
}

async function chooseModel(session: Session, deps: WorkerDeps, named: string | undefined): Promise<string> {
  const model = session.modelOverride ?? named ?? (await deps.defaultModel(AbortSignal.timeout(prepareLimitMs)));
  await deps.checkModel(model);
  return model;
}

function announce(
  deps: WorkerDeps,
  executionId: string,
  prompt: string,
  prepared: PreparedAgent,
  problems: readonly string[],
): void {
  const timestamp = new Date(deps.clock.now()).toISOString();
  const runId = `${executionId}:run`;
  deps.publisher.publish(executionId, {
    event_id: runId,
    event_type: 'run_started',
    data: { run_id: runId, agent_id: prepared.agentId, cancellable: true },
    timestamp,
  });
  const messageId = `${executionId}_user_1`;
  deps.publisher.publish(executionId, {
    event_id: messageId,
    event_type: 'message',
    data: { role: 'user', content: prompt, message_id: messageId },
    timestamp,
  });
  problems.forEach((message, index) => {
    deps.publisher.publish(executionId, {
      event_id: `${executionId}:problem:${index}`,
      event_type: 'notice',
      data: { code: 'skill_problem', message },
      timestamp,
    });
  });
  deps.publisher.update(executionId, {
    status: 'running',
    started_at: timestamp,
    execution_metadata: { model: prepared.model, agent_version: prepared.agentVersion },
  });
}

function checkedDirectory(directory: string | undefined): string | undefined {
  if (directory === undefined) return undefined;
  if (isAbsolute(directory) && isDirectory(directory)) return directory;
  throw new KubiyaError(`The working directory ${directory} does not exist on the worker's machine`, {
    kind: 'configuration',
    code: 'working_directory_missing',
    hint: 'create it there, or leave --cwd out to work in a directory of the execution',
  });
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // Missing, behind a directory that we may not enter, or no path at all (a NUL): not there for us.
    return false;
  }
}

function modelOptionsOf(
  agent: Subject['agent'],
  overrides: Readonly<Record<string, unknown>>,
): PreparedAgent['modelOptions'] {
  const options = { ...agent.llm_config, ...overrides };
  const temperature = numberOf(options['temperature']);
  const maxOutputTokens = numberOf(options['max_tokens']);
  const topP = numberOf(options['top_p']);
  const stop = options['stop'];
  return {
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(topP === undefined ? {} : { topP }),
    ...(Array.isArray(stop) && stop.every((item) => typeof item === 'string') ? { stop } : {}),
  };
}

const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;
const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
