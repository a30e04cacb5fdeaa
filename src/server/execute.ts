// Starts executions: the row first, then the workflow, so that neither a crash nor a missing Temporal loses a request.
import { createHash } from 'node:crypto';
import { createId } from '../lib/ids.ts';
import type { ExecuteResponse } from '../protocol/control-plane.ts';
import type { ExecutionInput } from '../protocol/workflow.ts';
import { organizationId, type ServerDeps } from './deps.ts';
import { findQueue, findResource } from './lookups.ts';
import { HttpProblem, temporalProblem } from './problems.ts';
import { advance } from './progress.ts';
import { claimWorker, isStartedFrom } from './single-execution.ts';
import type { ExecuteInput, ExecutionRecord } from './store/executions.ts';
import type { QueueRecord } from './store/queues.ts';
import type { Body, Resource } from './store/resources.ts';
import { TemporalError } from './temporal.ts';

/** Temporal refuses payloads over 2 MB; the first workflow task carries this and little else. */
const workflowInputBytesMax = 1_000_000;

export interface ExecuteOptions {
  readonly kind: 'agent' | 'team' | 'dynamic';
  /** Id or name; of a dynamic execution the agent itself. */
  readonly entity: string | Resource;
  readonly request: ExecuteInput;
  readonly idempotencyKey: string | null;
  /** Of the execution; absent: a new one. */
  readonly id?: string;
}

/** Throws a HttpProblem: 404, 409, 413; 503 when Temporal does not answer, and then the execution waits for it. */
export async function execute(deps: ServerDeps, options: ExecuteOptions): Promise<ExecuteResponse> {
  const { store } = deps;
  const entity = entityOf(deps, options);
  const requestHash = createHash('sha256')
    .update(JSON.stringify([entity.id, options.request]))
    .digest('hex');
  const earlier = options.idempotencyKey === null ? null : store.executions.byIdempotencyKey(options.idempotencyKey);
  if (earlier !== null && earlier.requestHash !== requestHash) {
    throw new HttpProblem(409, 'The idempotency key was used for another request', {
      code: 'idempotency_key_reused',
      hint: 'use a new key for a new request',
      extra: { execution_id: earlier.id },
    });
  }
  const execution = earlier ?? insert(deps, options, entity, requestHash);
  deps.wake();
  try {
    await startWorkflow(deps, execution);
  } catch (error) {
    if (error instanceof TemporalError) throw temporalProblem(error, { execution_id: execution.id });
    throw error;
  }
  return {
    execution_id: execution.id,
    workflow_id: execution.workflowId,
    status: 'PENDING',
    message: `The execution was queued on ${execution.queueId}`,
    worker_queue_id: execution.queueId,
  };
}

function entityOf(deps: ServerDeps, { kind, entity }: ExecuteOptions): Resource {
  if (typeof entity !== 'string') return entity;
  return findResource(deps, kind === 'team' ? 'team' : 'agent', entity);
}

/** The row of an execution that a workflow starts as its child; the same id again changes nothing. Throws as `execute`. */
export function recordExecution(deps: ServerDeps, options: ExecuteOptions & { readonly id: string }): ExecutionRecord {
  const { store } = deps;
  const earlier = store.executions.find(options.id);
  if (earlier !== null) return earlier;
  const entity = entityOf(deps, options);
  return store.transaction(() => {
    const record = insert(deps, options, entity, '');
    store.executions.markStarted(record.id);
    return { ...record, isWorkflowStarted: true };
  });
}

/** Safe to repeat: the workflow's id makes it one. A refusal of Temporal ends the execution. */
export async function startWorkflow(deps: ServerDeps, execution: ExecutionRecord): Promise<void> {
  const { store, temporal } = deps;
  const { id } = execution;
  if (!execution.isOpen || execution.isWorkflowStarted) return;
  try {
    await temporal.start(execution.workflowInput, execution.queueId);
  } catch (error) {
    if (error instanceof TemporalError && error.kind === 'refused') {
      advance(deps, id, { status: 'failed', errorMessage: error.message }, 'server');
    }
    throw error;
  }
  store.executions.markStarted(id);
  // It may have been cancelled while Temporal was answering.
  const current = store.executions.find(id);
  if (current !== null && !current.isOpen)
    await temporal.terminate(execution.workflowId, 'cancelled before it started');
}

function insert(deps: ServerDeps, options: ExecuteOptions, entity: Resource, requestHash: string): ExecutionRecord {
  const { store } = deps;
  const { request, idempotencyKey } = options;
  const queue = chooseQueue(deps, request.worker_queue_id);
  if (queue.status !== 'active') {
    throw new HttpProblem(400, `The worker queue ${queue.name} is ${queue.status}`, {
      code: 'queue_not_active',
      hint: 'set its status to active, or use another queue',
    });
  }
  refuseSecrets(request.execution_environment);
  const parent = request.parent_execution_id ?? '';
  if (parent !== '' && store.executions.find(parent) === null) {
    throw new HttpProblem(400, `There is no execution ${JSON.stringify(parent.slice(0, 100))} to go on with`, {
      code: 'parent_not_found',
      hint: '`kubiya execution list` lists them',
    });
  }
  const id = options.id ?? createId();
  const workflowInput = inputOf(deps, id, options, entity);
  if (Buffer.byteLength(JSON.stringify(workflowInput)) > workflowInputBytesMax) {
    throw new HttpProblem(413, `The execution is larger than ${workflowInputBytesMax} bytes`, {
      code: 'execution_too_large',
      hint: 'shorten the system prompt or the metadata; put large text into a file that the agent reads',
    });
  }
  return store.transaction(() => {
    const mayJoin = isStartedFrom(deps, queue, request);
    if (queue.isSingleExecution && !mayJoin && !store.queues.claim(queue.id, id)) {
      throw new HttpProblem(409, `The worker queue ${queue.name} is for one execution and has it`, {
        code: 'queue_claimed',
        hint: 'use another queue',
      });
    }
    claimWorker(deps, queue, id);
    const row = { id, entityId: entity.id, entityName: entity.name, queueId: queue.id, request, workflowInput };
    return store.executions.insert({ ...row, idempotencyKey, requestHash });
  });
}

/** A name that nothing stands behind would be a variable that is silently missing. */
export function refuseSecrets(environment: ExecuteInput['execution_environment']): void {
  const names = environment?.secrets ?? [];
  if (names.length === 0) return;
  throw new HttpProblem(400, `This control plane keeps no secrets, so it has no ${names.join(', ').slice(0, 100)}`, {
    code: 'secrets_not_kept',
    hint: 'give the value with --env-file instead of --secret',
  });
}

/** The one that is named; else the only one with a live worker; else `default`. */
export function chooseQueue(deps: ServerDeps, named: string | null | undefined): QueueRecord {
  if (typeof named === 'string' && named !== '') return findQueue(deps, named);
  const { queues } = deps.store;
  const live = queues.list().filter((queue) => !queue.isEphemeral && queues.liveWorkers(queue.id).length > 0);
  const [only] = live;
  return only !== undefined && live.length === 1 ? only : findQueue(deps, 'default');
}

function inputOf(
  deps: ServerDeps,
  id: string,
  { kind, request }: Pick<ExecuteOptions, 'kind' | 'request'>,
  entity: Resource,
): ExecutionInput {
  const { body } = entity;
  const workingDirectory = request.execution_environment?.working_dir;
  const configuration = {
    ...(body['configuration'] as Body | null),
    ...(typeof workingDirectory === 'string' ? { cwd: workingDirectory } : {}),
  };
  return {
    execution_id: id,
    ...ownInput(kind, entity, configuration),
    organization_id: organizationId,
    prompt: request.prompt,
    // A team's own are in its configuration; its worker reads them there.
    system_prompt: request.system_prompt ?? (body['system_prompt'] as string | null),
    model_id: request.model_id ?? (body['model_id'] as string | null),
    model_config: body['llm_config'] as Body,
    // Variables, MCP servers and secrets are fetched by the worker (…/resolved/full): Temporal keeps what passes through it.
    mcp_servers: {},
    user_metadata: request.user_metadata ?? {},
    runtime_type: body['runtime'] as string,
    initial_message_timestamp: new Date(deps.clock.now()).toISOString(),
    is_conversation: request.is_conversation ?? false,
    parent_execution_id: request.parent_execution_id ?? null,
    output_schema: request.output_schema ?? null,
    limits: request.limits ?? null,
    depth: request.depth ?? null,
  };
}

function ownInput(kind: ExecuteOptions['kind'], { id, name, body }: Resource, configuration: Body) {
  if (kind === 'team') return { team_id: id, team_config: configuration };
  if (kind === 'agent') return { agent_id: id, agent_config: configuration };
  const skillIds = body['skill_ids'] as string[];
  return { entity_id: id, entity_type: 'agent', entity_name: name, skill_ids: skillIds, agent_config: configuration };
}
