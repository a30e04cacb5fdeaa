// What the activities of one execution share in this worker: its tools and its environment, which never pass through Temporal.
import { join } from 'node:path';
import type { EntityKind, PreparedAgent } from '../../agent/state.ts';
import { KubiyaError, messageOf } from '../../errors.ts';
import { ensureSecureDirectory } from '../../lib/secure-directory.ts';
import type { ResolvedEnvironment } from '../../protocol/control-plane.ts';
import { ownerExecutionId } from '../../protocol/workflow.ts';
import type { McpConfiguration } from '../../tools/mcp/configuration.ts';
import { createMcpTools } from '../../tools/mcp/tools.ts';
import { createSkillReader, readSkillFolders } from '../../tools/skill-folder.ts';
import { createTeamTools } from '../../tools/team.ts';
import { createToolset, type Toolset } from '../../tools/toolset.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import { readMcpConfiguration, targetsOf, textValues } from './mcp.ts';

export interface ExecutionContext {
  readonly toolset: Toolset;
  /** For child processes: the allow-list, the agent's and the execution's own variables and secrets. */
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute path of an existing directory. */
  readonly workspace: string;
}

export interface ExecutionContexts {
  /** Built once in this worker, again by the next worker that touches the execution. */
  of(executionId: string, prepared: PreparedAgent): Promise<ExecutionContext>;
  /** The servers, for a runtime that runs them itself. */
  mcpOf(executionId: string, prepared: PreparedAgent): Promise<McpConfiguration>;
  environmentOf(kind: EntityKind, entityId: string, executionId: string): Promise<ResolvedEnvironment>;
  forget(executionId: string): void;
}

/** Enough for every execution a worker holds at once; the oldest is simply built again. */
const contextsMax = 500;

export function createExecutionContexts(session: Session, deps: WorkerDeps): ExecutionContexts {
  const contexts = new Map<string, Promise<ExecutionContext>>();
  const environments = new Map<string, Promise<ResolvedEnvironment>>();
  const environmentOf: ExecutionContexts['environmentOf'] = (kind, entityId, executionId) =>
    remembered(environments, executionId, () => resolveEnvironment(deps, kind, entityId, executionId));

  const build = async (executionId: string, prepared: PreparedAgent): Promise<ExecutionContext> => {
    const resolved = await environmentOf(prepared.entityKind ?? 'agent', prepared.agentId, executionId);
    const workspace = workspaceOf(session, executionId, prepared.workingDirectory);
    const secrets = textValues(resolved.secrets_resolved);
    for (const secret of Object.values(secrets)) deps.redactor.register(secret);
    const targets = targetsOf(serversOf(prepared, resolved, workspace));
    return {
      toolset: createToolset(prepared.skills, [
        ...createTeamTools(prepared.members ?? []),
        ...createSkillReader(prepared.skillInstructions ?? []),
        ...createMcpTools(prepared.mcpTools ?? [], { targets, servers: deps.mcp }),
      ]),
      environment: { ...session.toolEnvironment, ...textValues(resolved.env_vars), ...secrets },
      workspace,
    };
  };
  const serversOf = (
    prepared: PreparedAgent,
    environment: ResolvedEnvironment,
    workspace: string,
  ): McpConfiguration => {
    const folderServers = folderServersOf(environment, deps);
    return readMcpConfiguration(session, deps, {
      environment,
      askedServers: prepared.mcpServers,
      folderServers,
      workspace,
    });
  };
  return {
    of: (executionId, prepared) => remembered(contexts, executionId, () => build(executionId, prepared)),
    mcpOf: async (executionId, prepared) => {
      const resolved = await environmentOf(prepared.entityKind ?? 'agent', prepared.agentId, executionId);
      return serversOf(prepared, resolved, workspaceOf(session, executionId, prepared.workingDirectory));
    },
    environmentOf,
    forget: (executionId) => {
      contexts.delete(executionId);
      environments.delete(executionId);
      deps.mcp.release(executionId);
    },
  };
}

async function resolveEnvironment(
  { controlPlane }: WorkerDeps,
  kind: EntityKind,
  entityId: string,
  executionId: string,
): Promise<ResolvedEnvironment> {
  try {
    const type = kind === 'team' ? 'teams' : 'agents';
    return await controlPlane.getResolvedEnvironment(type, entityId, ownerExecutionId(executionId));
  } catch (error) {
    // Not every control plane knows an agent that came with its execution.
    if (kind === 'dynamic' && error instanceof KubiyaError && error.kind === 'api_refused') return {};
    throw error;
  }
}

/** Keeps the promise, so that calls at the same time build one; a failure is not kept. */
function remembered<Value>(
  values: Map<string, Promise<Value>>,
  key: string,
  build: () => Promise<Value>,
): Promise<Value> {
  const existing = values.get(key);
  if (existing !== undefined) return existing;
  const building = build();
  values.set(key, building);
  building.catch(() => values.delete(key));
  const [oldest] = values.keys();
  if (values.size > contextsMax && oldest !== undefined) values.delete(oldest);
  return building;
}

/** Those of this worker's disk: another one may not have the folder, and its tools then say so. */
function folderServersOf(
  { skill_dirs: directories }: ResolvedEnvironment,
  { log }: WorkerDeps,
): Record<string, unknown> {
  try {
    return { ...readSkillFolders(directories ?? []).mcpServers };
  } catch (error) {
    log.warn('A skill folder cannot be read', { reason: messageOf(error) });
    return {};
  }
}

/** Absolute path of a directory that exists. */
export function workspaceOf(
  session: Pick<Session, 'directories'>,
  executionId: string,
  workingDirectory: string | undefined,
): string {
  if (workingDirectory !== undefined) return workingDirectory;
  const directory = join(
    session.directories.workspaces,
    ownerExecutionId(executionId).replaceAll(/[^A-Za-z0-9_-]/g, '_'),
  );
  ensureSecureDirectory(directory);
  return directory;
}
