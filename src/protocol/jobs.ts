// Jobs: what starts executions by itself, at times or when somebody calls a URL.
import * as v from 'valibot';
import { executionEnvironmentSchema, limitsSchema, promptCharactersMax } from './control-plane.ts';
import { cronProblem } from './cron.ts';

// Names are those of the cloud's API where it has the field, "ours" marks the others. Unknown keys are ignored.

/** Largest body of a webhook; GitHub's are at most 25 MB, but what a prompt can name is far below this. */
export const webhookBodyBytesMax = 1_000_000;
/** A shorter one would be an endless run; every firing costs Temporal a dozen actions. */
export const intervalSecondsMin = 1;
/** A year. */
const intervalSecondsMax = 31_536_000;
/** How late a run may still be started after Temporal was away: below it Temporal knows nothing shorter. */
export const catchUpSecondsMin = 10;
export const catchUpSecondsDefault = 60;
const catchUpSecondsMax = 31_536_000;
const nameCharactersMax = 255;

const text = v.string();
const optionalText = v.nullish(text);
const optionalFlag = v.nullish(v.boolean());
const whole = (min: number, max: number) =>
  v.pipe(
    v.number(),
    v.integer(),
    v.minValue(min, `it must be at least ${min}`),
    v.maxValue(max, `it must be at most ${max}`),
  );

export const triggerTypes = ['cron', 'interval', 'webhook', 'manual'] as const;
export type TriggerType = (typeof triggerTypes)[number];

/** What happens when a run is due while the last one goes on; `skip` is the default. */
export const overlapPolicies = [
  'skip',
  'buffer_one',
  'buffer_all',
  'cancel_other',
  'terminate_other',
  'allow_all',
] as const;
export type OverlapPolicy = (typeof overlapPolicies)[number];

/** Null when the machine knows the IANA time zone. */
export function timeZoneProblem(name: string): string | null {
  try {
    // `+02:00` is a zone to Intl and none to Temporal.
    if (/^[A-Za-z]/.test(name) && new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '')
      return null;
  } catch {
    // A RangeError is the answer.
  }
  return 'is no IANA time zone; for example Europe/Berlin or UTC';
}

const cron = v.pipe(
  text,
  v.maxLength(200),
  v.check(
    (value) => cronProblem(value) === null,
    ({ input }) => `it ${cronProblem(input) ?? ''}`,
  ),
);
const timeZone = v.pipe(
  text,
  v.maxLength(100),
  v.check((value) => timeZoneProblem(value) === null, 'it is no IANA time zone; for example Europe/Berlin or UTC'),
);
const prompt = v.pipe(text, v.regex(/\S/, 'it is empty'), v.maxLength(promptCharactersMax));
const name = v.pipe(
  text,
  v.regex(/^\S(.*\S)?$/, 'it must be one line without spaces around it'),
  v.maxLength(nameCharactersMax),
);

const jobFields = {
  description: optionalText,
  enabled: optionalFlag,
  trigger_type: v.nullish(v.picklist(triggerTypes)),
  cron_schedule: v.nullish(cron),
  cron_timezone: v.nullish(timeZone),
  /** Ours. */
  interval_seconds: v.nullish(whole(intervalSecondsMin, intervalSecondsMax)),
  entity_type: v.nullish(v.picklist(['agent', 'team'])),
  /** Id or name. */
  entity_id: optionalText,
  /** With `{{.body.field}}` for what a webhook sends. */
  prompt_template: v.nullish(prompt),
  /** The same under a shorter name. */
  prompt: v.nullish(prompt),
  system_prompt: optionalText,
  /** Ours: overrides the agent's model. */
  model_id: optionalText,
  /** Id or name; absent: the only queue with a live worker, else `default`, as it is when the job is created. */
  worker_queue_id: optionalText,
  worker_queue_name: optionalText,
  execution_environment: v.nullish(executionEnvironmentSchema),
  /** Ours: as in an execution's request. */
  limits: v.nullish(limitsSchema),
  /** Ours. */
  overlap_policy: v.nullish(v.picklist(overlapPolicies)),
  /** Ours: how many seconds late a run may still be started after Temporal was away. */
  catch_up_seconds: v.nullish(whole(catchUpSecondsMin, catchUpSecondsMax)),
};

export const createJobSchema = v.object({ name, ...jobFields });
export type CreateJob = v.InferInput<typeof createJobSchema>;
export const updateJobSchema = v.object({ name: v.nullish(name), ...jobFields });
export type UpdateJob = v.InferInput<typeof updateJobSchema>;

export const jobSchema = v.object({
  id: text,
  organization_id: v.optional(text, ''),
  name: text,
  description: optionalText,
  enabled: v.optional(v.boolean(), true),
  trigger_type: text,
  cron_schedule: optionalText,
  cron_timezone: optionalText,
  interval_seconds: v.nullish(v.number()),
  entity_type: optionalText,
  entity_id: optionalText,
  entity_name: optionalText,
  prompt_template: v.optional(text, ''),
  system_prompt: optionalText,
  model_id: optionalText,
  worker_queue_id: optionalText,
  worker_queue_name: optionalText,
  execution_environment: v.nullish(executionEnvironmentSchema),
  limits: v.nullish(v.record(text, v.number())),
  overlap_policy: optionalText,
  catch_up_seconds: v.nullish(v.number()),
  webhook_url: optionalText,
  /** Only in the answer to the creation and to a rotation. */
  webhook_secret: optionalText,
  temporal_schedule_id: optionalText,
  /** Ours: why it does not run although it is enabled; null when nothing is wrong. */
  problem: optionalText,
  next_execution_at: optionalText,
  last_execution_id: optionalText,
  last_execution_at: optionalText,
  last_execution_status: optionalText,
  total_executions: v.nullish(v.number()),
  successful_executions: v.nullish(v.number()),
  failed_executions: v.nullish(v.number()),
  created_at: optionalText,
  updated_at: optionalText,
});
export type Job = v.InferOutput<typeof jobSchema>;

/** GET /jobs/{id}/executions, newest first. */
export const jobExecutionSchema = v.object({
  execution_id: text,
  job_id: optionalText,
  trigger_type: optionalText,
  status: text,
  created_at: optionalText,
  started_at: optionalText,
  completed_at: optionalText,
  duration_ms: v.nullish(v.number()),
  error_message: optionalText,
});
export type JobExecution = v.InferOutput<typeof jobExecutionSchema>;

/** POST /jobs/{id}/trigger. */
export const triggerJobSchema = v.object({
  /** Ours: stands for what a webhook would have sent. */
  body: v.nullish(v.unknown()),
});
export type TriggerJob = v.InferInput<typeof triggerJobSchema>;

/** Answer of a trigger and of a webhook. */
export const jobRunSchema = v.object({
  job_id: optionalText,
  /** Null for a delivery that only asks whether somebody is there. */
  execution_id: v.nullable(text),
  workflow_id: optionalText,
  status: optionalText,
  /** Ours: this delivery came before, and its execution is that one. */
  is_duplicate: optionalFlag,
});
export type JobRun = v.InferOutput<typeof jobRunSchema>;

// --- what the worker of a scheduled run reports

/** POST /executions/create: the row of a run that Temporal has begun. The same id again changes nothing. */
export const createExecutionSchema = v.object({
  execution_id: v.pipe(text, v.regex(/^[\w.:-]{1,200}$/, 'it may have letters, digits, dots, colons and dashes')),
  job_id: optionalText,
  organization_id: optionalText,
  /** In either case; absent: agent. */
  entity_type: optionalText,
  entity_id: optionalText,
  prompt,
  trigger_type: optionalText,
  /** Ours: `workflow_id` of the run that starts the execution as its child. */
  trigger_metadata: v.nullish(v.record(text, v.unknown())),
  /** Ours: of a run without a job. */
  worker_queue_id: optionalText,
});
export type CreateExecution = v.InferInput<typeof createExecutionSchema>;

/** POST /executions/{id}/job/{job}/status. */
export const jobStatusSchema = v.object({
  /** One of `executionStatuses` in either case. */
  status: text,
  duration_ms: v.nullish(v.number()),
  error_message: optionalText,
});
export type JobStatus = v.InferInput<typeof jobStatusSchema>;

/** Header names of a webhook's delivery. */
export const webhookHeaders = {
  signature: 'X-Kubiya-Signature',
  timestamp: 'X-Kubiya-Timestamp',
  delivery: 'X-Kubiya-Delivery',
  githubSignature: 'X-Hub-Signature-256',
  githubDelivery: 'X-GitHub-Delivery',
  githubEvent: 'X-GitHub-Event',
} as const;
