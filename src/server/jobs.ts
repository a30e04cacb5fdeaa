// Jobs as rules: what a request makes of one, what runs, what Temporal is to know, and how it is shown.
import { createHash } from 'node:crypto';
import type * as v from 'valibot';
import type { ExecuteResponse } from '../protocol/control-plane.ts';
import { cronForTemporal } from '../protocol/cron.ts';
import {
  catchUpSecondsDefault,
  type createJobSchema,
  type Job,
  type TriggerType,
  type updateJobSchema,
} from '../protocol/jobs.ts';
import { organizationId, type ServerDeps } from './deps.ts';
import { chooseQueue, execute, refuseSecrets } from './execute.ts';
import { findResource } from './lookups.ts';
import { HttpProblem, notFound } from './problems.ts';
import { renderPrompt } from './prompt-template.ts';
import type { ExecuteInput } from './store/executions.ts';
import type { JobDefinition, JobRecord, Trigger } from './store/jobs.ts';
import { scheduleIdOf, type WantedSchedule } from './temporal-schedules.ts';

type Given = v.InferOutput<typeof createJobSchema> | v.InferOutput<typeof updateJobSchema>;

export function findJob({ store }: Pick<ServerDeps, 'store'>, idOrName = ''): JobRecord {
  const job = store.jobs.find(idOrName);
  if (job === null) throw notFound('job', idOrName, '`kubiya job list` lists them');
  return job;
}

/** What the request makes of the job that is there, or of none. Throws a HttpProblem. */
export function definitionOf(deps: ServerDeps, given: Given, current?: JobDefinition): JobDefinition {
  const entityType = given.entity_type ?? current?.entityType ?? 'agent';
  const isSameEntity = typeof given.entity_id !== 'string' && entityType === current?.entityType;
  const prompt = given.prompt_template ?? given.prompt ?? current?.prompt;
  if (prompt === undefined) throw invalid('The job has no prompt', 'send prompt_template');
  const trigger = triggerOf(given, current?.trigger);
  if (hasTimes(trigger) && !renderPrompt(prompt, undefined).ok)
    throw invalid('The prompt names {{.body}}, and a run at a time has none', 'only a webhook or a trigger brings one');
  const queue = given.worker_queue_id ?? given.worker_queue_name;
  refuseSecrets(given.execution_environment);
  const keep = <T>(value: T | null | undefined, before: T | null | undefined): T | null =>
    // Null takes a value away, absence leaves it.
    value === undefined ? (before ?? null) : value;
  return {
    name: given.name ?? current?.name ?? '',
    description: keep(given.description, current?.description),
    isEnabled: given.enabled ?? current?.isEnabled ?? true,
    trigger,
    entityType,
    entityId: isSameEntity ? current.entityId : findResource(deps, entityType, given.entity_id ?? 'default').id,
    prompt,
    systemPrompt: keep(given.system_prompt, current?.systemPrompt),
    modelId: keep(given.model_id, current?.modelId),
    queueId: typeof queue === 'string' || current === undefined ? chooseQueue(deps, queue).id : current.queueId,
    executionEnvironment: keep(given.execution_environment, current?.executionEnvironment),
    limits: keep(given.limits, current?.limits),
    overlapPolicy: given.overlap_policy ?? current?.overlapPolicy ?? 'skip',
    catchUpSeconds: given.catch_up_seconds ?? current?.catchUpSeconds ?? catchUpSecondsDefault,
  };
}

function triggerOf(given: Given, current: Trigger | undefined): Trigger {
  const { trigger_type: named, cron_schedule: cron, cron_timezone: timeZone, interval_seconds: seconds } = given;
  const isCron = typeof cron === 'string';
  const isInterval = typeof seconds === 'number';
  if (isCron && isInterval) throw invalid('cron_schedule and interval_seconds exclude each other', 'send one of them');
  const type = named ?? (isCron ? 'cron' : isInterval ? 'interval' : (current?.type ?? 'manual'));
  if ((isCron && type !== 'cron') || (isInterval && type !== 'interval'))
    throw invalid(`A job of the trigger type ${type} takes no ${isCron ? 'cron_schedule' : 'interval_seconds'}`);
  if (typeof timeZone === 'string' && type !== 'cron')
    throw invalid('cron_timezone is for jobs with a cron_schedule', 'an interval is the same in every time zone');
  if (type === 'cron') {
    const before = current?.type === 'cron' ? current : undefined;
    const expression = cron ?? before?.expression;
    if (expression === undefined) throw invalid('cron_schedule is missing', 'for example "0 9 * * MON-FRI"');
    return { type, expression, timeZone: timeZone ?? before?.timeZone ?? 'UTC' };
  }
  if (type === 'interval') {
    const interval = seconds ?? (current?.type === 'interval' ? current.seconds : undefined);
    if (interval === undefined) throw invalid('interval_seconds is missing', 'for example 900');
    return { type, seconds: interval };
  }
  return { type };
}

function hasTimes(trigger: Trigger): trigger is Extract<Trigger, { type: 'cron' | 'interval' }> {
  return trigger.type === 'cron' || trigger.type === 'interval';
}

function invalid(detail: string, hint?: string): HttpProblem {
  return new HttpProblem(400, detail, { code: 'job_invalid', hint });
}

/** Why it cannot run; null when it can. */
export function problemOf({ store }: Pick<ServerDeps, 'store'>, { definition }: JobRecord): string | null {
  const { entityType, entityId, queueId } = definition;
  if (store.resources.find(entityType, entityId) === null) return `Its ${entityType} was deleted`;
  if (store.queues.find(queueId) === null) return 'Its worker queue was deleted';
  return null;
}

/** Null for a job without times. */
export function wantedSchedule(deps: Pick<ServerDeps, 'store'>, job: JobRecord): WantedSchedule | null {
  const { id, definition } = job;
  const { trigger, entityType, entityId, queueId, prompt, systemPrompt, modelId, limits, name } = definition;
  if (!hasTimes(trigger)) return null;
  const runtime = deps.store.resources.find(entityType, entityId)?.body['runtime'];
  const wanted = {
    jobId: id,
    spec:
      trigger.type === 'cron'
        ? { type: trigger.type, expressions: cronForTemporal(trigger.expression), timeZone: trigger.timeZone }
        : { type: trigger.type, seconds: trigger.seconds },
    isPaused: !definition.isEnabled || problemOf(deps, job) !== null,
    overlapPolicy: definition.overlapPolicy,
    catchUpSeconds: definition.catchUpSeconds,
    taskQueue: queueId,
    input: {
      organization_id: organizationId,
      ...(entityType === 'team' ? { team_id: entityId } : { agent_id: entityId }),
      prompt,
      system_prompt: systemPrompt,
      model_id: modelId,
      limits,
      runtime_type: typeof runtime === 'string' ? runtime : null,
      user_metadata: { job_id: id, job_name: name, trigger_type: trigger.type },
    },
  } as const;
  return { ...wanted, mark: createHash('sha256').update(JSON.stringify(wanted)).digest('hex') };
}

/** What a run of it asks for. The metadata is also what its history is found by. */
export function requestOf({ id, definition }: JobRecord, prompt: string, triggerType: string): ExecuteInput {
  const origin = { job_id: id, job_name: definition.name, trigger_type: triggerType };
  return {
    prompt,
    system_prompt: definition.systemPrompt,
    model_id: definition.modelId,
    worker_queue_id: definition.queueId,
    execution_environment: definition.executionEnvironment,
    limits: definition.limits,
    user_metadata: origin,
    execution_metadata: origin,
  };
}

/** In an execution's metadata: the workflow of a scheduled run, which starts the execution's own as its child. */
export const startedByKey = 'started_by_workflow';

export interface JobStart {
  readonly triggerType: TriggerType;
  /** What the prompt's `{{.body}}` stands for. */
  readonly body: unknown;
  readonly idempotencyKey?: string | null;
  /** Absent: a new one. */
  readonly executionId?: string;
}

/** Throws a HttpProblem as `execute` does, and 409 and 422 for a job that cannot run so. */
export async function runJob(deps: ServerDeps, job: JobRecord, start: JobStart): Promise<ExecuteResponse> {
  const problem = problemOf(deps, job);
  if (problem !== null) {
    const hint = `change it with \`kubiya job update ${job.definition.name}\``;
    throw new HttpProblem(409, `The job cannot run: ${problem}`, { code: 'job_broken', hint });
  }
  const { entityType, entityId, prompt: template } = job.definition;
  const rendered = renderPrompt(template, start.body);
  if (!rendered.ok) {
    const hint = 'the prompt of the job names the fields that a body must have';
    throw new HttpProblem(422, rendered.problem, { code: 'prompt_not_rendered', hint });
  }
  const request = requestOf(job, rendered.prompt, start.triggerType);
  const { executionId, idempotencyKey = null } = start;
  const id = executionId === undefined ? {} : { id: executionId };
  return execute(deps, { kind: entityType, entity: entityId, request, idempotencyKey, ...id });
}

/** `origin` is what the server is reached by. */
export function showJob(
  deps: ServerDeps,
  job: JobRecord,
  { origin, nextRunAt }: { readonly origin: string; readonly nextRunAt: Date | null },
): Job {
  const { store } = deps;
  const { id, definition } = job;
  const { trigger } = definition;
  const counts = store.jobs.countsOf(id);
  const [lastId] = store.jobs.executionsOf(id, { limit: 1, skip: 0 });
  const last = lastId === undefined ? null : store.executions.find(lastId);
  const isScheduled = hasTimes(trigger);
  return {
    id,
    organization_id: organizationId,
    name: definition.name,
    description: definition.description,
    enabled: definition.isEnabled,
    trigger_type: trigger.type,
    cron_schedule: trigger.type === 'cron' ? trigger.expression : null,
    cron_timezone: trigger.type === 'cron' ? trigger.timeZone : null,
    interval_seconds: trigger.type === 'interval' ? trigger.seconds : null,
    entity_type: definition.entityType,
    entity_id: definition.entityId,
    entity_name: store.resources.find(definition.entityType, definition.entityId)?.name ?? null,
    prompt_template: definition.prompt,
    system_prompt: definition.systemPrompt,
    model_id: definition.modelId,
    worker_queue_id: definition.queueId,
    worker_queue_name: store.queues.find(definition.queueId)?.name ?? null,
    execution_environment: definition.executionEnvironment,
    limits: definition.limits,
    overlap_policy: isScheduled ? definition.overlapPolicy : null,
    catch_up_seconds: isScheduled ? definition.catchUpSeconds : null,
    webhook_url: trigger.type === 'webhook' ? `${origin}${webhookPath(id)}` : null,
    temporal_schedule_id: isScheduled ? scheduleIdOf(id) : null,
    problem:
      problemOf(deps, job) ??
      (job.isSynced ? null : 'Temporal has not heard of its last change yet; it is told by itself'),
    next_execution_at: nextRunAt?.toISOString() ?? null,
    last_execution_id: last?.id ?? null,
    last_execution_at: last?.createdAt ?? null,
    last_execution_status: last?.status ?? null,
    total_executions: counts.total,
    successful_executions: counts.successful,
    failed_executions: counts.failed,
    created_at: job.createdAt,
    updated_at: job.updatedAt,
  };
}

export const webhookPath = (jobId: string): string => `/api/v1/webhooks/${jobId}`;
