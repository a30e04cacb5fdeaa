// Executions that do not move: what they wait for, and the end of those that nothing else ends.
import { Hono } from 'hono';
import {
  batchTerminateResponseSchema,
  batchTerminateSchema,
  controlResponseSchema,
  inspectionSchema,
  terminateSchema,
  type ControlResponse,
} from '../../protocol/control-plane.ts';
import type { ServerDeps } from '../deps.ts';
import { inspect } from '../inspect.ts';
import { findExecution } from '../lookups.ts';
import { jsonBody, route } from '../openapi.ts';
import { advance } from '../progress.ts';
import type { ExecutionRecord } from '../store/executions.ts';
import { TemporalError } from '../temporal.ts';

const tag = 'executions';

export function inspectionRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  app.get(
    '/api/v1/executions/:id/inspect',
    route({
      summary: 'What an execution is doing, and what it waits for',
      description: 'Pending calls with their attempts and failures, the workflow task, and who polls the queue.',
      tag,
      answers: { 200: inspectionSchema },
      refusals: [404],
    }),
    async (context) => context.json(await inspect(deps, findExecution(deps, context.req.param('id')))),
  );
  // Before the next, whose `:id` would take its path.
  app.post(
    '/api/v1/executions/batch/terminate',
    route({
      summary: 'End several executions at once',
      description: 'Each by itself: one that is not there or has ended keeps no other from its end.',
      tag,
      answers: { 200: batchTerminateResponseSchema },
      refusals: [422],
    }),
    jsonBody(batchTerminateSchema),
    async (context) => {
      const { execution_ids: ids, reason } = context.req.valid('json');
      const results: TerminationResult[] = [];
      for (const id of new Set(ids)) results.push(await terminateOne(deps, id, reason ?? ''));
      return context.json({ terminated: results.filter(({ success }) => success).length, results });
    },
  );
  app.post(
    '/api/v1/executions/:id/terminate',
    route({
      summary: 'End an execution at once',
      description: 'For one that does not answer a cancel: its workflow is not asked. A live worker stops its tools.',
      tag,
      answers: { 200: controlResponseSchema },
      refusals: [404, 422, 503],
    }),
    jsonBody(terminateSchema),
    async (context) => {
      const execution = findExecution(deps, context.req.param('id'));
      const { reason } = context.req.valid('json');
      return context.json(await terminate(deps, execution, reason ?? ''));
    },
  );
  return app;
}

type TerminationResult = Pick<ControlResponse, 'success' | 'error' | 'status'> & { readonly execution_id: string };

async function terminateOne(deps: ServerDeps, id: string, reason: string): Promise<TerminationResult> {
  const execution = deps.store.executions.find(id);
  if (execution === null) return { execution_id: id, success: false, error: 'There is no such execution' };
  try {
    const { success, error, status } = await terminate(deps, execution, reason);
    return { execution_id: id, success, error: error ?? null, status: status ?? null };
  } catch (error) {
    if (!(error instanceof TemporalError)) throw error;
    return { execution_id: id, success: false, error: error.message, status: execution.status };
  }
}

async function terminate(deps: ServerDeps, execution: ExecutionRecord, reason: string): Promise<ControlResponse> {
  const { id, workflowId, status, isOpen, isWorkflowStarted } = execution;
  if (!isOpen) return { success: false, execution_id: id, error: `The execution is already ${status}`, status };
  const sentence = reason === '' ? 'Terminated by a user' : `Terminated by a user: ${reason}`;
  try {
    if (isWorkflowStarted) await deps.temporal.terminate(workflowId, sentence);
  } catch (error) {
    // Temporal does not know it any more, which is no reason to keep it open here.
    if (!(error instanceof TemporalError && error.kind === 'not_found')) throw error;
  }
  advance(deps, id, { status: 'terminated', errorMessage: sentence }, 'user');
  return { success: true, execution_id: id, workflow_id: workflowId, message: 'The execution was terminated' };
}
