// Executions: start, read, report and steer.
import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import {
  acceptedSchema,
  controlResponseSchema,
  executeRequestSchema,
  executeResponseSchema,
  executionSchema,
  idempotencyKeyCharactersMax,
  idempotencyKeyHeader,
  sendMessageSchema,
  updateExecutionSchema,
  type ControlResponse,
  type Execution,
} from '../../protocol/control-plane.ts';
import { createId } from '../../lib/ids.ts';
import { signalNames } from '../../protocol/workflow.ts';
import { organizationId, type ServerDeps } from '../deps.ts';
import { execute } from '../execute.ts';
import { findExecution, findQueue } from '../lookups.ts';
import { createMessageGate, userEventPrefix, type MessageGate } from '../messages.ts';
import { digits, jsonBody, query, route } from '../openapi.ts';
import { HttpProblem } from '../problems.ts';
import { advance } from '../progress.ts';
import type { ExecutionRecord } from '../store/executions.ts';
import { TemporalError } from '../temporal.ts';

const tag = 'executions';
const listCountMax = 200;
const optionalText = v.nullish(v.string());

export function executionRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  addExecute(app, deps);
  addReading(app, deps);
  const messages = createMessageGate(deps);
  addReport(app, deps, messages);
  addSteering(app, deps, messages);
  return app;
}

function addExecute(app: Hono, deps: ServerDeps): void {
  for (const kind of ['agent', 'team'] as const) {
    app.post(
      `/api/v1/${kind}s/:id/execute`,
      route({
        summary: `Start an execution of ${kind === 'agent' ? 'an agent' : 'a team'}, by id or name`,
        description: 'After a 503 the execution waits, and is started when Temporal is back.',
        headers: { [idempotencyKeyHeader]: 'A repetition of the same request with the same key gets the first answer' },
        tag,
        answers: { 200: executeResponseSchema },
        refusals: [400, 404, 409, 413, 422, 502, 503, 507],
      }),
      jsonBody(executeRequestSchema),
      async (context) => {
        const entity = context.req.param('id') ?? '';
        const request = context.req.valid('json');
        return context.json(await execute(deps, { kind, entity, request, idempotencyKey: keyOf(context) }));
      },
    );
  }
}

function addReading(app: Hono, deps: ServerDeps): void {
  const { store } = deps;
  app.get(
    '/api/v1/executions',
    route({
      summary: 'List executions, newest first',
      tag,
      answers: { 200: v.array(executionSchema) },
      refusals: [404, 422],
    }),
    query(
      v.object({
        skip: digits,
        limit: digits,
        status: optionalText,
        status_filter: optionalText,
        agent_id: optionalText,
        team_id: optionalText,
        worker_queue_id: optionalText,
        execution_type: v.nullish(v.pipe(v.string(), v.regex(/^(agent|team)$/i, 'it must be agent or team'))),
      }),
    ),
    (context) => {
      const {
        skip,
        limit,
        status,
        status_filter: filter,
        worker_queue_id: queue,
        ...asked
      } = context.req.valid('query');
      // What was deleted is still found by its id.
      const idOf = (kind: 'agent' | 'team', name: string): string => store.resources.find(kind, name)?.id ?? name;
      const { agent_id: agent, team_id: team } = asked;
      const entityId =
        typeof agent === 'string' ? idOf('agent', agent) : typeof team === 'string' ? idOf('team', team) : undefined;
      const executions = store.executions.list({
        skip: Number(skip ?? 0),
        limit: Math.min(Number(limit ?? 50), listCountMax),
        status: (status ?? filter)?.toLowerCase(),
        entityId,
        entityType: asked.execution_type?.toLowerCase() as 'agent' | 'team' | undefined,
        queueId: typeof queue === 'string' ? findQueue(deps, queue).id : undefined,
      });
      return context.json(executions.map((execution) => show(deps, execution)));
    },
  );
  app.get(
    '/api/v1/executions/:id',
    route({ summary: 'One execution', tag, answers: { 200: executionSchema }, refusals: [404] }),
    (context) => context.json(show(deps, findExecution(deps, context.req.param('id')))),
  );
}

function addReport(app: Hono, deps: ServerDeps, messages: MessageGate): void {
  app.patch(
    '/api/v1/executions/:id',
    route({
      summary: 'Report how it goes (workers)',
      description: 'A terminal status is final: a later report changes nothing and is answered with what is stored.',
      tag,
      answers: { 200: executionSchema },
      refusals: [404, 422, 507],
    }),
    jsonBody(updateExecutionSchema),
    (context) => {
      const { id, number } = findExecution(deps, context.req.param('id'));
      const body = context.req.valid('json');
      // What was published before this report is counted with it.
      deps.events.flush();
      if (body.status === 'completed' && messages.isEarly(number, body.messages_taken)) {
        deps.log.info('An agent goes on, because a message came while it ended', { execution: id });
        advance(deps, id, { usage: body.usage ?? undefined }, 'worker');
        return context.json(show(deps, findExecution(deps, id)));
      }
      const change = {
        status: body.status ?? undefined,
        response: body.response ?? undefined,
        errorMessage: body.error_message ?? undefined,
        usage: body.usage ?? undefined,
        metadata: body.execution_metadata ?? undefined,
        startedAt: body.started_at ?? undefined,
        completedAt: body.completed_at ?? undefined,
      };
      advance(deps, id, change, 'worker');
      return context.json(show(deps, findExecution(deps, id)));
    },
  );
}

function addSteering(app: Hono, deps: ServerDeps, messages: MessageGate): void {
  app.post(
    '/api/v1/executions/:id/message',
    route({
      summary: 'Send a message to the agent',
      tag,
      answers: { 202: acceptedSchema },
      refusals: [404, 409, 422, 503],
    }),
    jsonBody(sendMessageSchema),
    async (context) => {
      const { id, number, workflowId } = openExecution(deps, context.req.param('id'));
      const { message, role, message_id: given } = context.req.valid('json');
      const messageId = given ?? `${id}_user_${createId()}`;
      const timestamp = new Date(deps.clock.now()).toISOString();
      const payload = { role, content: message, timestamp, message_id: messageId, execution_id: id };
      // Those who follow the execution see what was said to it; a message that is sent again is the same event.
      const data = { role, content: message, message_id: messageId } as const;
      // Ids of events are the server's and the worker's: one that a user chose must not stand for theirs.
      const event = { event_id: `${userEventPrefix}${messageId}`, event_type: 'message', data, timestamp } as const;
      await messages.deliver(number, async () => {
        await signal(deps, workflowId, signalNames.addMessage, payload);
        await deps.events.publish(number, [event]);
      });
      return context.json({ success: true, execution_id: id, message_id: messageId }, 202);
    },
  );
  app.post(
    '/api/v1/executions/:id/mark-done',
    route({ summary: 'End a conversation', tag, answers: { 202: acceptedSchema }, refusals: [404, 409, 503] }),
    async (context) => {
      const { id, workflowId } = openExecution(deps, context.req.param('id'));
      await signal(deps, workflowId, signalNames.markAsDone, { execution_id: id, request_id: createId() });
      return context.json({ success: true, execution_id: id }, 202);
    },
  );
  const verbs = ['pause', 'resume', 'cancel'] as const;
  for (const verb of verbs) {
    app.post(
      `/api/v1/executions/:id/${verb}`,
      route({
        summary: `${verb[0]?.toUpperCase()}${verb.slice(1)} an execution`,
        description: '200 also when it could not be done: `success` says which.',
        tag,
        answers: { 200: controlResponseSchema },
        refusals: [404, 503],
      }),
      async (context) => {
        const execution = findExecution(deps, context.req.param('id'));
        return context.json(await control(deps, execution, verb));
      },
    );
  }
}

async function control(
  deps: ServerDeps,
  execution: ExecutionRecord,
  verb: 'pause' | 'resume' | 'cancel',
): Promise<ControlResponse> {
  const { id, status } = execution;
  const refused = (error: string): ControlResponse => ({ success: false, execution_id: id, error, status });
  const done = (message: string): ControlResponse => ({
    success: true,
    execution_id: id,
    workflow_id: execution.workflowId,
    message,
  });
  if (!execution.isOpen) return refused(`The execution is already ${status}`);
  if (verb === 'cancel') {
    await cancel(deps, execution);
    return done('The execution is being cancelled');
  }
  if (!execution.isWorkflowStarted) return refused('The execution has not started yet');
  await signal(deps, execution.workflowId, verb === 'pause' ? signalNames.pause : signalNames.resume, {
    execution_id: id,
    request_id: createId(),
  });
  return done(verb === 'pause' ? 'The execution pauses after the current step' : 'The execution goes on');
}

/** The worker stops the work and reports; the reconciler ends the execution when there is no worker to do so. */
async function cancel(deps: ServerDeps, { id, workflowId, isWorkflowStarted }: ExecutionRecord): Promise<void> {
  if (!isWorkflowStarted) {
    advance(deps, id, { status: 'cancelled', errorMessage: 'Cancelled before it started' }, 'user');
    return;
  }
  try {
    await deps.temporal.cancel(workflowId);
  } catch (error) {
    // It has just ended; the reconciler finds out how.
    if (!(error instanceof TemporalError && error.kind === 'not_found')) throw error;
  }
  deps.store.executions.requestCancel(id);
  deps.wake();
}

async function signal({ temporal }: ServerDeps, workflowId: string, name: string, payload: unknown): Promise<void> {
  try {
    await temporal.signal(workflowId, name, payload);
  } catch (error) {
    if (error instanceof TemporalError && error.kind === 'not_found') throw hasEnded('has ended or not started');
    throw error;
  }
}

function openExecution(deps: ServerDeps, id: string | undefined): ExecutionRecord {
  const execution = findExecution(deps, id);
  if (!execution.isOpen) throw hasEnded(`is already ${execution.status}`);
  return execution;
}

function hasEnded(how: string): HttpProblem {
  return new HttpProblem(409, `The execution ${how}`, { code: 'execution_not_open', hint: 'start a new one' });
}

export function keyOf(context: Context): string | null {
  const key = context.req.header(idempotencyKeyHeader)?.trim() ?? '';
  if (key.length > idempotencyKeyCharactersMax) {
    throw new HttpProblem(
      400,
      `The header ${idempotencyKeyHeader} is longer than ${idempotencyKeyCharactersMax} characters`,
      {
        code: 'idempotency_key_too_long',
      },
    );
  }
  return key === '' ? null : key;
}

function show({ store }: ServerDeps, execution: ExecutionRecord): Execution {
  const { id, request, workflowInput } = execution;
  return {
    id,
    organization_id: organizationId,
    execution_type: 'team_id' in workflowInput ? 'team' : 'agent',
    entity_id: execution.entityId,
    entity_name: execution.entityName,
    prompt: execution.prompt,
    system_prompt: workflowInput.system_prompt,
    status: execution.status,
    response: execution.response,
    error_message: execution.errorMessage,
    usage: execution.usage,
    execution_metadata: { ...request.execution_metadata, ...execution.metadata },
    runner_name: store.queues.find(execution.queueId)?.name ?? null,
    created_at: execution.createdAt,
    updated_at: execution.updatedAt,
    started_at: execution.startedAt,
    completed_at: execution.completedAt,
    ...userOf(request.user_metadata),
    participants: [],
    workflow_id: execution.workflowId,
    worker_queue_id: execution.queueId,
    model_id: workflowInput.model_id,
    parent_execution_id: request.parent_execution_id,
    is_conversation: request.is_conversation ?? false,
    is_stuck: execution.stuckReason !== null,
    status_reason: execution.stuckReason,
  };
}

/** Whoever asked, as far as the request says it. */
function userOf(metadata: Readonly<Record<string, unknown>> | null | undefined) {
  const textOf = (name: string): string | null => {
    const value = metadata?.[name];
    return typeof value === 'string' ? value : null;
  };
  return { user_id: textOf('user_id'), user_name: textOf('user_name'), user_email: textOf('user_email') };
}
