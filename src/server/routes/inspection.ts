// Executions that do not move: what they wait for, and the end of those that nothing else ends.
import { Hono } from 'hono';
import {
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
