// What the activities of one execution share in this worker: its tools and its environment, which never pass through Temporal.
import { join } from 'node:path';
import type { PreparedAgent } from '../../agent/state.ts';
import { ensureSecureDirectory } from '../../lib/secure-directory.ts';
import type { ResolvedEnvironment } from '../../protocol/control-plane.ts';
import { createToolset, type Toolset } from '../../tools/toolset.ts';
import type { Session, WorkerDeps } from '../deps.ts';

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
  environmentOf(agentId: string, executionId: string): Promise<ResolvedEnvironment>;
  forget(executionId: string): void;
}

/** Enough for every execution a worker holds at once; the oldest is simply built again. */
const contextsMax = 500;

export function createExecutionContexts(session: Session, deps: WorkerDeps): ExecutionContexts {
  const contexts = new Map<string, Promise<ExecutionContext>>();
  const environments = new Map<string, Promise<ResolvedEnvironment>>();
  const environmentOf = (agentId: string, executionId: string): Promise<ResolvedEnvironment> =>
    remembered(environments, executionId, () =>
      deps.controlPlane.getResolvedEnvironment('agents', agentId, executionId),
    );

  const build = async (executionId: string, prepared: PreparedAgent): Promise<ExecutionContext> => {
    const resolved = await environmentOf(prepared.agentId, executionId);
    const secrets = textValues(resolved.secrets_resolved);
    for (const secret of Object.values(secrets)) deps.redactor.register(secret);
    return {
      toolset: createToolset(prepared.skills),
      environment: { ...session.toolEnvironment, ...textValues(resolved.env_vars), ...secrets },
      workspace: prepared.workingDirectory ?? ownWorkspace(session, executionId),
    };
  };
  return {
    of: (executionId, prepared) => remembered(contexts, executionId, () => build(executionId, prepared)),
    environmentOf,
    forget: (executionId) => {
      contexts.delete(executionId);
      environments.delete(executionId);
    },
  };
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

function ownWorkspace(session: Session, executionId: string): string {
  const directory = join(session.directories.workspaces, executionId.replaceAll(/[^A-Za-z0-9_-]/g, '_'));
  ensureSecureDirectory(directory);
  return directory;
}

function textValues(values: Readonly<Record<string, unknown>> | null | undefined): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(values ?? {})) {
    if (typeof value === 'string' && !value.includes('\0')) texts[name] = value;
    else if (typeof value === 'number' || typeof value === 'boolean') texts[name] = String(value);
  }
  return texts;
}
