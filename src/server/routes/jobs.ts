// Jobs: create, change, run, and what the workers of scheduled runs report.
import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { createId } from '../../lib/ids.ts';
import { executionSchema, idempotencyKeyHeader } from '../../protocol/control-plane.ts';
import {
  createExecutionSchema,
  createJobSchema,
  jobExecutionSchema,
  jobRunSchema,
  jobSchema,
  jobStatusSchema,
  triggerJobSchema,
  updateJobSchema,
  type Job,
  type JobExecution,
} from '../../protocol/jobs.ts';
import { executionStatuses, terminalStatuses } from '../../protocol/workflow.ts';
import { organizationId, type ServerDeps } from '../deps.ts';
import { recordExecution } from '../execute.ts';
import { definitionOf, findJob, requestOf, runJob, showJob, startedByKey } from '../jobs.ts';
import { findExecution } from '../lookups.ts';
import { digits, jsonBody, query, route } from '../openapi.ts';
import { HttpProblem } from '../problems.ts';
import { advance } from '../progress.ts';
import type { ExecutionRecord } from '../store/executions.ts';
import type { JobDefinition, JobRecord } from '../store/jobs.ts';
import { TemporalError } from '../temporal.ts';
import { createWebhookSecret } from '../webhooks.ts';
import { keyOf } from './executions.ts';
import { refuseTaken } from './resources.ts';

const tag = 'jobs';
/** Each has a schedule that is looked at once a minute in one answer of Temporal. */
const jobsCountMax = 1_000;
const executionsListedMax = 200;
const executionsListedDefault = 50;

export function jobRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  addReading(app, deps);
  addWriting(app, deps);
  addSwitches(app, deps);
  addRunning(app, deps);
  addReports(app, deps);
  return app;
}

function addReading(app: Hono, deps: ServerDeps): void {
  const { store } = deps;
  app.get(
    '/api/v1/jobs',
    route({ summary: 'All jobs', tag, answers: { 200: v.array(jobSchema) } }),
    async (context) => {
      const states = await unlessAway(deps.temporal.schedules.list(), []);
      const nextRunAt = new Map(states.map((state) => [state.jobId, state.nextRunAt]));
      const origin = originOf(context);
      return context.json(
        store.jobs.list().map((job) => showJob(deps, job, { origin, nextRunAt: nextRunAt.get(job.id) ?? null })),
      );
    },
  );
  app.get(
    '/api/v1/jobs/:id',
    route({ summary: 'One job, by id or name', tag, answers: { 200: jobSchema }, refusals: [404] }),
    async (context) => context.json(await show(deps, findJob(deps, context.req.param('id')), context)),
  );
  app.get(
    '/api/v1/jobs/:id/executions',
    route({
      summary: 'Its executions, newest first',
      tag,
      answers: { 200: v.array(jobExecutionSchema) },
      refusals: [404, 422],
    }),
    query(v.object({ limit: digits, skip: digits })),
    (context) => {
      const { id } = findJob(deps, context.req.param('id'));
      const { limit, skip } = context.req.valid('query');
      const page = {
        limit: Math.min(Number(limit ?? executionsListedDefault), executionsListedMax),
        skip: Number(skip ?? 0),
      };
      const executions = store.jobs.executionsOf(id, page).map((execution) => store.executions.find(execution));
      return context.json(executions.flatMap((execution) => (execution === null ? [] : [showRun(id, execution)])));
    },
  );
}

function addWriting(app: Hono, deps: ServerDeps): void {
  const { store } = deps;
  app.post(
    '/api/v1/jobs',
    route({
      summary: 'Create a job',
      description: 'The secret of a webhook is in this answer and never again.',
      tag,
      answers: { 201: jobSchema },
      refusals: [400, 404, 409, 422],
    }),
    jsonBody(createJobSchema),
    async (context) => {
      if (store.jobs.list().length >= jobsCountMax)
        throw new HttpProblem(409, `There are ${jobsCountMax} jobs already`, { code: 'too_many_jobs' });
      const definition = definitionOf(deps, context.req.valid('json'));
      const secret = secretFor(definition, null);
      const id = createId();
      refuseTaken('job', () => store.jobs.insert(id, definition, secret));
      await synced(deps, id, () => store.jobs.delete(id));
      return context.json(await show(deps, findJob(deps, id), context, secret), 201);
    },
  );
  app.patch(
    '/api/v1/jobs/:id',
    route({ summary: 'Change the given fields', tag, answers: { 200: jobSchema }, refusals: [400, 404, 409, 422] }),
    jsonBody(updateJobSchema),
    async (context) => {
      const job = findJob(deps, context.req.param('id'));
      const definition = definitionOf(deps, context.req.valid('json'), job.definition);
      return context.json(await change(deps, job, definition, context));
    },
  );
  app.delete(
    '/api/v1/jobs/:id',
    route({ summary: 'Delete it; runs that have begun go on', tag, answers: { 204: null }, refusals: [404] }),
    async (context) => {
      const { id } = findJob(deps, context.req.param('id'));
      store.jobs.delete(id);
      await synced(deps, id);
      return context.body(null, 204);
    },
  );
}

function addSwitches(app: Hono, deps: ServerDeps): void {
  const { store } = deps;
  for (const verb of ['enable', 'disable'] as const) {
    app.post(
      `/api/v1/jobs/:id/${verb}`,
      route({
        summary:
          verb === 'enable' ? 'Let it run at its times' : 'Hold its times and its webhook; it can still be triggered',
        tag,
        answers: { 200: jobSchema },
        refusals: [404],
      }),
      async (context) => {
        const job = findJob(deps, context.req.param('id'));
        return context.json(await change(deps, job, { ...job.definition, isEnabled: verb === 'enable' }, context));
      },
    );
  }
  app.post(
    '/api/v1/jobs/:id/rotate-secret',
    route({
      summary: 'Give its webhook a new secret; the old one is worthless at once',
      tag,
      answers: { 200: jobSchema },
      refusals: [400, 404],
    }),
    async (context) => {
      const job = findJob(deps, context.req.param('id'));
      if (job.definition.trigger.type !== 'webhook')
        throw new HttpProblem(400, 'The job has no webhook', { code: 'job_invalid' });
      const secret = createWebhookSecret();
      store.jobs.replace(job.id, job.definition, secret);
      await synced(deps, job.id);
      return context.json(await show(deps, findJob(deps, job.id), context, secret));
    },
  );
}

async function change(deps: ServerDeps, job: JobRecord, definition: JobDefinition, context: Context): Promise<Job> {
  const { jobs } = deps.store;
  const secret = secretFor(definition, job.webhookSecret);
  refuseTaken('job', () => jobs.replace(job.id, definition, secret));
  await synced(deps, job.id, () => jobs.replace(job.id, job.definition, job.webhookSecret));
  const isNew = secret !== job.webhookSecret;
  return show(deps, findJob(deps, job.id), context, isNew ? secret : null);
}

function secretFor({ trigger }: JobDefinition, current: string | null): string | null {
  return trigger.type === 'webhook' ? (current ?? createWebhookSecret()) : null;
}

/** Temporal that is away hears of it later; what it refuses is undone and answered with its reason. */
async function synced(deps: ServerDeps, jobId: string, undo?: () => void): Promise<void> {
  try {
    await deps.syncJob(jobId);
  } catch (error) {
    if (!(error instanceof TemporalError)) throw error;
    if (error.kind === 'unavailable' || undo === undefined) return;
    undo();
    throw new HttpProblem(400, error.message, { code: 'schedule_refused', cause: error });
  }
}

function addRunning(app: Hono, deps: ServerDeps): void {
  app.post(
    '/api/v1/jobs/:id/trigger',
    route({
      summary: 'Run it now, also when it is disabled',
      description: 'The overlap policy is for its times only. After a 503 the execution waits for Temporal.',
      headers: { [idempotencyKeyHeader]: 'A repetition with the same key gets the first answer' },
      tag,
      answers: { 202: jobRunSchema },
      refusals: [400, 404, 409, 413, 422, 502, 503, 507],
    }),
    jsonBody(triggerJobSchema),
    async (context) => {
      const job = findJob(deps, context.req.param('id'));
      const body = context.req.valid('json').body ?? undefined;
      const { execution_id, workflow_id, status } = await runJob(deps, job, {
        triggerType: 'manual',
        body,
        idempotencyKey: keyOf(context),
      });
      return context.json({ job_id: job.id, execution_id, workflow_id, status }, 202);
    },
  );
}

function addReports(app: Hono, deps: ServerDeps): void {
  app.post(
    '/api/v1/executions/create',
    route({
      summary: 'Record the execution that a scheduled run is about to start (workers)',
      tag,
      answers: { 201: v.pick(executionSchema, ['id', 'status']) },
      refusals: [400, 404, 409, 413, 422],
    }),
    jsonBody(createExecutionSchema),
    (context) => {
      const { id, status } = recordRun(deps, context.req.valid('json'));
      deps.wake();
      return context.json({ id, status, organization_id: organizationId }, 201);
    },
  );
  app.post(
    '/api/v1/executions/:id/job/:job/status',
    route({
      summary: 'Report how a scheduled run ended (workers)',
      description:
        'Counts only for a run that failed before its execution began: the others report their end themselves.',
      tag,
      answers: { 202: v.object({ success: v.boolean() }) },
      refusals: [404, 422],
    }),
    jsonBody(jobStatusSchema),
    (context) => {
      const { id, status: current } = findExecution(deps, context.req.param('id'));
      const { status: given, error_message: errorMessage } = context.req.valid('json');
      const status = executionStatuses.find((known) => known === given.toLowerCase());
      // Of one that has begun, the worker of the execution reports the end, with the answer: it may come later than this.
      const isEnd = status !== undefined && status !== 'completed' && terminalStatuses.has(status);
      if (isEnd && current === 'pending')
        advance(deps, id, { status, errorMessage: errorMessage ?? undefined }, 'worker');
      return context.json({ success: true }, 202);
    },
  );
}

/** A run without a job keeps to its agent and its queue. */
function recordRun(deps: ServerDeps, given: v.InferOutput<typeof createExecutionSchema>): ExecutionRecord {
  const { prompt, trigger_type: triggerType, trigger_metadata: trigger } = given;
  const job = typeof given.job_id === 'string' ? findJob(deps, given.job_id) : undefined;
  const request =
    job === undefined
      ? { prompt, worker_queue_id: given.worker_queue_id }
      : requestOf(job, prompt, triggerType ?? job.definition.trigger.type);
  const started = { [startedByKey]: trigger?.['workflow_id'] };
  return recordExecution(deps, {
    kind: given.entity_type?.toLowerCase() === 'team' ? 'team' : 'agent',
    entity: given.entity_id ?? job?.definition.entityId ?? 'default',
    request: { ...request, execution_metadata: { ...request.execution_metadata, ...started } },
    idempotencyKey: null,
    id: given.execution_id,
  });
}

async function show(deps: ServerDeps, job: JobRecord, context: Context, secret: string | null = null): Promise<Job> {
  const state = await unlessAway(deps.temporal.schedules.find(job.id), null);
  const shown = showJob(deps, job, { origin: originOf(context), nextRunAt: state?.nextRunAt ?? null });
  return secret === null ? shown : { ...shown, webhook_secret: secret };
}

/** What the caller reached us by; it has shown the token. */
function originOf(context: Context): string {
  return new URL(context.req.url).origin;
}

async function unlessAway<T>(promise: Promise<T>, fallback: T): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof TemporalError) return fallback;
    throw error;
  }
}

function showRun(jobId: string, execution: ExecutionRecord): JobExecution {
  const { createdAt, startedAt, completedAt } = execution;
  const durationMs = completedAt === null ? null : Date.parse(completedAt) - Date.parse(startedAt ?? createdAt);
  return {
    execution_id: execution.id,
    job_id: jobId,
    trigger_type: textOf(execution.request.execution_metadata?.['trigger_type']),
    status: execution.status,
    created_at: createdAt,
    started_at: startedAt,
    completed_at: completedAt,
    duration_ms: durationMs === null ? null : Math.max(0, durationMs),
    error_message: execution.errorMessage,
  };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
