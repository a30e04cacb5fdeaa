// The control plane's HTTP API as schemas: what its clients send and what it answers, ours and Kubiya's cloud.
// One file because it is the whole API, read and searched as one page, and has no logic.
import * as v from 'valibot';
import { agentEventSchema } from './events.ts';
import { resolvedSkillSchema } from './tool.ts';
import { executionStatuses } from './workflow.ts';

// Requests ignore unknown keys. Responses are read leniently, because the cloud leaves out or nulls what this server always
// sends: `nullish` marks it. No transforms: every schema here converts to JSON Schema for OpenAPI. "Ours" marks what the
// cloud does not know and ignores.

/** Largest prompt or message: far below Temporal's 2 MB a payload, and a conversation has a 400 kB budget. */
export const promptCharactersMax = 200_000;
/** Largest event batch in one request: five group commits of the server; more would only make the request slow to retry. */
export const eventBatchCountMax = 500;
/** Largest request body the server reads: a session of a full transcript (400 kB) with room for its JSON escapes. */
export const requestBodyBytesMax = 4_000_000;

const text = v.string();
const optionalText = v.nullish(text);
const optionalFlag = v.nullish(v.boolean());
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const object = v.record(text, v.unknown());
const strings = v.array(text);
const prompt = v.pipe(text, v.regex(/\S/), v.maxLength(promptCharactersMax));
const name = (min: number, max: number) =>
  v.pipe(
    text,
    v.regex(/^\S(.*\S)?$/, 'it must be one line without spaces around it'),
    v.minLength(min, `it must have at least ${min} characters`),
    v.maxLength(max, `it must have at most ${max} characters`),
  );
const seconds = (min: number, max: number) => v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max));
/** What every stored thing answers with. */
const stored = { id: text, organization_id: v.optional(text, ''), created_at: optionalText, updated_at: optionalText };

// --- errors

export const problemSchema = v.object({
  /** A sentence; for 401 an object, for 422 a list (`validationProblemSchema`). */
  detail: text,
  /** Ours: stable, snake_case. */
  code: optionalText,
  hint: optionalText,
  retryable: optionalFlag,
});
export type Problem = v.InferOutput<typeof problemSchema>;

export const unauthorizedSchema = v.object({
  detail: v.object({ error: text, message: text, hint: text }),
  code: optionalText,
  hint: optionalText,
});

export const validationProblemSchema = v.object({
  detail: v.array(v.object({ loc: v.array(v.union([text, v.number()])), msg: text, type: text })),
  code: optionalText,
  hint: optionalText,
});

// --- health

export const healthSchema = v.object({
  status: text,
  service: optionalText,
  timestamp: optionalText,
  /** Ours. */
  version: optionalText,
  /** Ours: that of the record of a local server. */
  instance_id: optionalText,
  services: v.nullish(object),
});
export type Health = v.InferOutput<typeof healthSchema>;

// --- execution environment

export const executionEnvironmentSchema = v.object({
  working_dir: optionalText,
  env_vars: v.nullish(v.record(text, text)),
  secrets: v.nullish(strings),
  skill_dirs: v.nullish(strings),
  /** Seconds for the whole execution. */
  timeout: v.nullish(seconds(1, 604_800)),
  integration_ids: v.nullish(strings),
  mcp_servers: v.nullish(object),
});
export type ExecutionEnvironment = v.InferOutput<typeof executionEnvironmentSchema>;

/** GET /execution-environment/{agents|teams}/{id}/resolved: flat variables with secrets resolved. */
export const resolvedVariablesSchema = v.record(text, text);

/** GET …/resolved/full. Ours: `?execution_id=` adds what that execution asked for, so that it never passes through Temporal. */
export const resolvedEnvironmentSchema = v.object({
  env_vars: v.nullish(v.record(text, v.unknown())),
  mcp_servers: v.nullish(object),
  system_prompt: optionalText,
  description: optionalText,
  configuration: v.nullish(object),
  secrets_resolved: v.nullish(v.record(text, v.unknown())),
  /** Ours, from the execution. */
  working_dir: optionalText,
  skill_dirs: v.nullish(strings),
  timeout: v.nullish(v.number()),
});
export type ResolvedEnvironment = v.InferOutput<typeof resolvedEnvironmentSchema>;

// --- environments

export const createEnvironmentSchema = v.object({
  name: name(2, 100),
  display_name: optionalText,
  description: optionalText,
  tags: v.nullish(strings),
  settings: v.nullish(object),
  execution_environment: v.nullish(executionEnvironmentSchema),
  skill_ids: v.nullish(strings),
});
export type CreateEnvironment = v.InferInput<typeof createEnvironmentSchema>;
export const updateEnvironmentSchema = v.partial(createEnvironmentSchema);
export type UpdateEnvironment = v.InferInput<typeof updateEnvironmentSchema>;

export const environmentSchema = v.object({
  ...stored,
  name: text,
  display_name: optionalText,
  description: optionalText,
  tags: v.nullish(strings),
  settings: v.nullish(object),
  execution_environment: v.nullish(executionEnvironmentSchema),
  status: text,
  active_workers: v.nullish(v.number()),
  idle_workers: v.nullish(v.number()),
  busy_workers: v.nullish(v.number()),
  skill_ids: v.nullish(strings),
});
export type Environment = v.InferOutput<typeof environmentSchema>;

// --- worker queues

const queueStatusSchema = v.picklist(['active', 'inactive', 'paused']);

export const queueSettingsSchema = v.looseObject({
  enable_local_litellm_proxy: optionalFlag,
  litellm_config: v.nullish(object),
  local_proxy_timeout_seconds: v.nullish(seconds(5, 60)),
  local_proxy_max_retries: v.nullish(seconds(1, 10)),
});

const queueFields = {
  display_name: optionalText,
  description: optionalText,
  max_workers: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))),
  heartbeat_interval: v.nullish(seconds(10, 300)),
  tags: v.nullish(strings),
  settings: v.nullish(queueSettingsSchema),
};

export const createQueueSchema = v.object({
  name: name(2, 50),
  ...queueFields,
  worker_type: optionalText,
  /** A queue for one run: hidden from lists, deleted `auto_cleanup_after_seconds` after its last worker was seen. */
  ephemeral: optionalFlag,
  /** The first execution claims the queue, others are refused with 409. */
  single_execution_mode: optionalFlag,
  auto_cleanup_after_seconds: v.nullish(seconds(1, 604_800)),
  parent_execution_id: optionalText,
});
export type CreateQueue = v.InferInput<typeof createQueueSchema>;

export const updateQueueSchema = v.object({
  name: v.nullish(name(2, 50)),
  ...queueFields,
  status: v.nullish(queueStatusSchema),
});
export type UpdateQueue = v.InferInput<typeof updateQueueSchema>;

export const queueSchema = v.object({
  ...stored,
  environment_id: text,
  name: text,
  display_name: optionalText,
  description: optionalText,
  status: text,
  max_workers: v.nullish(v.number()),
  heartbeat_interval: v.nullish(v.number()),
  tags: v.nullish(strings),
  settings: v.nullish(object),
  created_by: optionalText,
  active_workers: v.optional(v.number(), 0),
  task_queue_name: text,
  ephemeral: optionalFlag,
  single_execution_mode: optionalFlag,
  auto_cleanup_after_seconds: v.nullish(v.number()),
});
export type Queue = v.InferOutput<typeof queueSchema>;

export const queueConfigSchema = v.object({
  queue_id: text,
  name: text,
  display_name: optionalText,
  description: optionalText,
  status: text,
  max_workers: v.nullish(v.number()),
  heartbeat_interval: v.nullish(v.number()),
  tags: v.nullish(strings),
  settings: v.nullish(object),
  config_version: text,
  config_updated_at: optionalText,
  recommended_package_version: optionalText,
  environment_id: text,
  environment_name: optionalText,
});
export type QueueConfig = v.InferOutput<typeof queueConfigSchema>;

export const queueExecutionSchema = v.object({
  id: text,
  status: text,
  entity_id: optionalText,
  entity_name: optionalText,
  execution_type: optionalText,
  prompt: optionalText,
  created_at: optionalText,
  started_at: optionalText,
  completed_at: optionalText,
  temporal_workflow_id: optionalText,
});
export type QueueExecution = v.InferOutput<typeof queueExecutionSchema>;

// --- workers

/** What a worker says about its machine; every field may be absent, unknown ones are kept. */
export const systemInfoSchema = v.looseObject({
  hostname: optionalText,
  platform: optionalText,
  os_name: optionalText,
  os_version: optionalText,
  python_version: optionalText,
  cli_version: optionalText,
  sdk_version: optionalText,
  pid: v.nullish(v.number()),
  cwd: optionalText,
  supported_runtimes: v.nullish(strings),
  docker_available: optionalFlag,
  docker_version: optionalText,
  cpu_count: v.nullish(v.number()),
  cpu_percent: v.nullish(v.number()),
  memory_total: v.nullish(v.number()),
  memory_used: v.nullish(v.number()),
  memory_percent: v.nullish(v.number()),
  disk_total: v.nullish(v.number()),
  disk_used: v.nullish(v.number()),
  disk_percent: v.nullish(v.number()),
  uptime_seconds: v.nullish(v.number()),
});
export type SystemInfo = v.InferOutput<typeof systemInfoSchema>;

export const workerStartRequestSchema = v.object({
  worker_sdk_version: optionalText,
  system_info: v.nullish(systemInfoSchema),
  control_plane_url: optionalText,
  /** Ours: names the journal of the worker, so that others can tell whether a call may have run elsewhere. */
  journal_id: optionalText,
  /** Ours: this worker takes one execution and ends (`worker start --once`). */
  single_execution: optionalFlag,
  /** Ours: told to a server on this machine, which sees by it that the worker is gone. */
  process: v.nullish(v.object({ pid: count, start_time: text, pid_namespace: text, machine: text })),
});
export type WorkerStartRequest = v.InferInput<typeof workerStartRequestSchema>;

export const workerStartResponseSchema = v.object({
  worker_id: text,
  /** The Temporal task queue: the queue's id. */
  task_queue_name: text,
  temporal_namespace: text,
  temporal_host: text,
  /** Empty or null means plaintext. */
  temporal_api_key: optionalText,
  organization_id: v.optional(text, ''),
  control_plane_url: optionalText,
  /** Seconds. */
  heartbeat_interval: v.nullish(v.number()),
  litellm_api_url: optionalText,
  litellm_api_key: optionalText,
  queue_name: optionalText,
  environment_name: optionalText,
  queue_id: optionalText,
  queue_ephemeral: optionalFlag,
  queue_single_execution: optionalFlag,
  redis_enabled: optionalFlag,
  redis_url: optionalText,
  redis_password: optionalText,
  websocket_enabled: optionalFlag,
  websocket_url: optionalText,
  websocket_features: v.nullish(strings),
  nats_config: v.nullish(object),
  control_plane_sdk_version: optionalText,
  /** Ours: base64 key of the payload signature (lib/payload-signature.ts). */
  workflow_signing_key: optionalText,
  /** Ours: Temporal is a dev server on this machine, so local timings apply. */
  is_local: optionalFlag,
  /** Ours: Temporal wants TLS although there is no API key. */
  temporal_tls: optionalFlag,
  /** Ours: POST /executions/{id}/events/batch exists. */
  supports_event_batches: optionalFlag,
});
export type WorkerStartResponse = v.InferOutput<typeof workerStartResponseSchema>;

export const heartbeatSchema = v.object({
  status: v.optional(text, 'active'),
  tasks_processed: v.optional(count, 0),
  current_task_id: optionalText,
  worker_metadata: v.nullish(object),
  system_info: v.nullish(systemInfoSchema),
  logs: v.nullish(strings),
});
export type Heartbeat = v.InferInput<typeof heartbeatSchema>;

export const disconnectSchema = v.object({
  reason: v.optional(v.picklist(['shutdown', 'error', 'crash']), 'shutdown'),
  exit_code: v.nullish(v.pipe(v.number(), v.integer())),
  error_message: optionalText,
});
export type Disconnect = v.InferInput<typeof disconnectSchema>;

/** A worker as its queue lists it: live ones only. */
export const workerSchema = v.object({
  id: text,
  worker_id: text,
  status: text,
  tasks_processed: v.optional(v.number(), 0),
  current_task_id: optionalText,
  last_heartbeat: optionalText,
  registered_at: optionalText,
  system_info: v.nullish(systemInfoSchema),
  logs: v.nullish(strings),
  worker_metadata: v.nullish(object),
  /** Ours. */
  journal_id: optionalText,
});
export type Worker = v.InferOutput<typeof workerSchema>;

// --- agents, teams, models

export const createAgentSchema = v.object({
  name: name(1, 255),
  description: optionalText,
  capabilities: v.nullish(strings),
  configuration: v.nullish(object),
  /** Null: the model is chosen by the worker (`--model`, `KUBIYA_MODEL`, the provider it finds). */
  model_id: optionalText,
  llm_config: v.nullish(object),
  runtime: optionalText,
  system_prompt: optionalText,
  team_id: optionalText,
  environment_ids: v.nullish(strings),
  execution_environment: v.nullish(executionEnvironmentSchema),
  skill_ids: v.nullish(strings),
});
export type CreateAgent = v.InferInput<typeof createAgentSchema>;

/** Also what a worker reports about an agent. */
export const updateAgentSchema = v.object({
  ...v.partial(createAgentSchema).entries,
  status: optionalText,
  state: v.nullish(object),
  error_message: optionalText,
  last_active_at: optionalText,
});
export type UpdateAgent = v.InferInput<typeof updateAgentSchema>;

export const agentSchema = v.object({
  ...stored,
  name: text,
  description: optionalText,
  capabilities: v.nullish(strings),
  configuration: v.nullish(object),
  model_id: optionalText,
  llm_config: v.nullish(object),
  runtime: optionalText,
  system_prompt: optionalText,
  team_id: optionalText,
  environment_ids: v.nullish(strings),
  execution_environment: v.nullish(executionEnvironmentSchema),
  skill_ids: v.nullish(strings),
  status: v.optional(text, 'idle'),
  state: v.nullish(object),
  error_message: optionalText,
  last_active_at: optionalText,
});
export type Agent = v.InferOutput<typeof agentSchema>;

export const createTeamSchema = v.object({
  name: name(1, 255),
  description: optionalText,
  runtime: optionalText,
  /** `member_ids`, `instructions` and what else the cloud keeps of a team. */
  configuration: v.nullish(v.looseObject({ member_ids: v.nullish(strings) })),
  environment_ids: v.nullish(strings),
  skill_ids: v.nullish(strings),
  execution_environment: v.nullish(executionEnvironmentSchema),
});
export type CreateTeam = v.InferInput<typeof createTeamSchema>;
export const updateTeamSchema = v.object({ ...v.partial(createTeamSchema).entries, status: optionalText });
export type UpdateTeam = v.InferInput<typeof updateTeamSchema>;

export const teamSchema = v.object({
  ...stored,
  name: text,
  description: optionalText,
  runtime: optionalText,
  configuration: v.nullish(object),
  environment_ids: v.nullish(strings),
  skill_ids: v.nullish(strings),
  execution_environment: v.nullish(executionEnvironmentSchema),
  status: optionalText,
});
export type Team = v.InferOutput<typeof teamSchema>;

export const createModelSchema = v.object({
  /** The id that requests name, e.g. `openai/gpt-5`. */
  value: name(1, 255),
  label: optionalText,
  provider: optionalText,
  model_type: optionalText,
  description: optionalText,
  enabled: optionalFlag,
  recommended: optionalFlag,
  compatible_runtimes: v.nullish(strings),
  capabilities: v.nullish(object),
  pricing: v.nullish(object),
  display_order: v.nullish(count),
});
export type CreateModel = v.InferInput<typeof createModelSchema>;
export const updateModelSchema = v.partial(createModelSchema);
export type UpdateModel = v.InferInput<typeof updateModelSchema>;

export const modelSchema = v.object({
  ...stored,
  value: text,
  label: optionalText,
  provider: optionalText,
  model_type: optionalText,
  description: optionalText,
  enabled: optionalFlag,
  recommended: optionalFlag,
  compatible_runtimes: v.nullish(strings),
  capabilities: v.nullish(object),
  pricing: v.nullish(object),
  display_order: v.nullish(v.number()),
});
export type Model = v.InferOutput<typeof modelSchema>;

// --- skills

export const skillTypes = [
  'file_system',
  'shell',
  'python',
  'docker',
  'sleep',
  'file_generation',
  'data_visualization',
  'workflow_executor',
  'custom',
  'agent_communication',
  'wait_for_approval',
] as const;

export const createSkillSchema = v.object({
  name: name(1, 255),
  type: v.picklist(skillTypes),
  variant: optionalText,
  description: optionalText,
  icon: optionalText,
  enabled: optionalFlag,
  configuration: v.nullish(object),
});
export type CreateSkill = v.InferInput<typeof createSkillSchema>;
export const updateSkillSchema = v.partial(createSkillSchema);
export type UpdateSkill = v.InferInput<typeof updateSkillSchema>;

export const skillSchema = v.object({
  ...stored,
  name: text,
  type: text,
  variant: optionalText,
  description: optionalText,
  icon: optionalText,
  enabled: v.optional(v.boolean(), true),
  configuration: v.nullish(object),
});
export type Skill = v.InferOutput<typeof skillSchema>;

export const associateSkillSchema = v.object({ skill_id: text, configuration_override: v.nullish(object) });
export type AssociateSkill = v.InferInput<typeof associateSkillSchema>;
export const messageSchema = v.object({ message: text });

/** GET /skills/associations/{agents|teams}/{id}/skills/resolved, in the order in which the first of a name wins. */
export const resolvedSkillResponseSchema = v.object({
  ...resolvedSkillSchema.entries,
  icon: optionalText,
  source: optionalText,
  inherited: optionalFlag,
});
export type ResolvedSkillResponse = v.InferOutput<typeof resolvedSkillResponseSchema>;

// --- executions

/** Header of POST …/execute: the same key and body answer with the first execution, another body is 409. */
export const idempotencyKeyHeader = 'Idempotency-Key';
export const idempotencyKeyCharactersMax = 200;

export const priorities = ['low', 'medium', 'high', 'critical'] as const;

/** JSON's 1e999 is infinite here and null in a database and in Temporal. */
export const limitsSchema = v.record(text, v.pipe(v.number(), v.finite('it must be finite'), v.minValue(0)));

export const executeRequestSchema = v.object({
  prompt,
  system_prompt: optionalText,
  stream: optionalFlag,
  /** Id or name. Without it: the only queue with a live worker, else `default`. The cloud demands it. */
  worker_queue_id: optionalText,
  user_metadata: v.nullish(object),
  execution_environment: v.nullish(executionEnvironmentSchema),
  execution_metadata: v.nullish(object),
  /** Ours: overrides the agent's model for this execution. */
  model_id: optionalText,
  parent_execution_id: optionalText,
  /** Ours: wait for the next message after an answer instead of completing. */
  is_conversation: optionalFlag,
  /** Ours: JSON Schema of the last answer. */
  output_schema: v.nullish(object),
  /** Ours: limits of this execution by their names in an agent's configuration, e.g. `max_cost_usd`. */
  limits: v.nullish(limitsSchema),
  /** Ours: executions above this one; one that an agent starts says so. */
  depth: v.nullish(count),
  /** Ours: kept with the execution, for people and for those who choose what to do first. */
  priority: v.nullish(v.picklist(priorities)),
});
export type ExecuteRequest = v.InferInput<typeof executeRequestSchema>;

export const executeResponseSchema = v.object({
  execution_id: text,
  workflow_id: optionalText,
  status: text,
  message: optionalText,
  /** Ours: where it was queued. */
  worker_queue_id: optionalText,
});
export type ExecuteResponse = v.InferOutput<typeof executeResponseSchema>;

export const executionSchema = v.object({
  ...stored,
  execution_type: optionalText,
  entity_id: optionalText,
  entity_name: optionalText,
  prompt: v.optional(text, ''),
  system_prompt: optionalText,
  /** One of `executionStatuses` in either case: lower-case it before use. */
  status: text,
  response: optionalText,
  error_message: optionalText,
  usage: v.nullish(object),
  execution_metadata: v.nullish(object),
  runner_name: optionalText,
  user_id: optionalText,
  user_name: optionalText,
  user_email: optionalText,
  user_avatar: optionalText,
  started_at: optionalText,
  completed_at: optionalText,
  participants: v.nullish(v.array(object)),
  /** Ours. */
  workflow_id: optionalText,
  worker_queue_id: optionalText,
  model_id: optionalText,
  parent_execution_id: optionalText,
  is_conversation: optionalFlag,
  /** Ours: open, and no worker can go on with it until a person acts; `status_reason` says why. */
  is_stuck: optionalFlag,
  status_reason: optionalText,
});
export type Execution = v.InferOutput<typeof executionSchema>;

/** PATCH by the worker. A terminal status is final: a later report changes nothing and is answered with what is stored. */
export const updateExecutionSchema = v.object({
  /** Ours, with `completed`: how many messages the agent has taken; with fewer than were accepted it goes on. */
  messages_taken: v.nullish(count),
  status: v.nullish(v.picklist(executionStatuses)),
  started_at: optionalText,
  completed_at: optionalText,
  response: optionalText,
  error_message: optionalText,
  usage: v.nullish(object),
  execution_metadata: v.nullish(object),
});
export type UpdateExecution = v.InferInput<typeof updateExecutionSchema>;

/** With what the server puts before it, it fits into the 200 of an event's id. */
const messageIdCharactersMax = 150;
export const sendMessageSchema = v.object({
  message: prompt,
  role: v.optional(text, 'user'),
  /** Ours: the same id is delivered once. It becomes part of the id of an event. */
  message_id: v.nullish(v.pipe(text, v.minLength(1), v.maxLength(messageIdCharactersMax))),
});
export type SendMessage = v.InferInput<typeof sendMessageSchema>;

/** POST /executions/batch/terminate. */
export const batchTerminateSchema = v.object({
  execution_ids: v.pipe(v.array(text), v.minLength(1), v.maxLength(100)),
  reason: optionalText,
});
export type BatchTerminate = v.InferInput<typeof batchTerminateSchema>;
export const batchTerminateResponseSchema = v.object({
  terminated: count,
  results: v.array(v.object({ execution_id: text, success: v.boolean(), error: optionalText, status: optionalText })),
});

/** Answer of message and mark-done (202). */
export const acceptedSchema = v.object({ success: v.boolean(), execution_id: text, message_id: optionalText });

/** Answer of pause, resume and cancel: 200 also when it could not be done; `success` says which. */
export const controlResponseSchema = v.object({
  success: v.boolean(),
  execution_id: optionalText,
  workflow_id: optionalText,
  message: optionalText,
  error: optionalText,
  status: optionalText,
});
export type ControlResponse = v.InferOutput<typeof controlResponseSchema>;

export const terminateReasonCharactersMax = 500;
/** POST …/terminate: ends it at once, without asking its workflow. */
export const terminateSchema = v.object({
  reason: v.nullish(v.pipe(text, v.maxLength(terminateReasonCharactersMax))),
});
export type Terminate = v.InferInput<typeof terminateSchema>;

// --- inspection (ours): what an execution is doing, and why it is not

const failureSchema = v.object({ message: text, type: optionalText });
export const pendingActivitySchema = v.object({
  activity_id: text,
  /** `callModel` or `callTool`. */
  type: text,
  /** `scheduled` waits for a worker or for its next attempt, `started` is with a worker. */
  state: v.picklist(['scheduled', 'started', 'cancel_requested', 'paused']),
  attempt: count,
  attempts_max: v.nullable(count),
  /** Of our call; null when its input could not be read. */
  call_id: v.nullable(text),
  tool_name: v.nullable(text),
  turn: v.nullable(count),
  /** In Temporal; a tool call waits in the queue of the worker that holds its execution. Null when it is not known. */
  task_queue: v.optional(v.nullable(text), null),
  /** When the attempt that waits may start; null when one runs. */
  next_attempt_at: v.nullable(text),
  last_started_at: v.nullable(text),
  last_heartbeat_at: v.nullable(text),
  /** What its last heartbeat said. */
  heartbeat: v.nullable(v.unknown()),
  last_worker: v.nullable(text),
  last_failure: v.nullable(failureSchema),
});
export type PendingActivity = v.InferOutput<typeof pendingActivitySchema>;

export const inspectionSchema = v.object({
  execution_id: text,
  status: text,
  is_stuck: v.boolean(),
  status_reason: v.nullable(text),
  /** One sentence: what it waits for. */
  waits_for: text,
  workflow_id: text,
  run_id: v.nullable(text),
  /** As Temporal has it; `unknown` while Temporal does not answer. */
  workflow_state: v.picklist(['not_started', 'open', 'closed', 'missing', 'unknown']),
  event_count: v.nullable(count),
  history_bytes: v.nullable(count),
  turn: v.nullable(count),
  workflow_task: v.nullable(
    v.object({
      state: v.picklist(['scheduled', 'started']),
      attempt: count,
      scheduled_at: v.nullable(text),
      started_at: v.nullable(text),
      /** Of the last one that failed or timed out; null when none has since the last success. */
      failure: v.nullable(v.object({ cause: text, message: text, at: v.nullable(text) })),
    }),
  ),
  activities: v.array(pendingActivitySchema),
  queue_id: text,
  queue_name: v.nullable(text),
  /** Live workers of the queue, as the control plane sees them. */
  workers: v.array(v.object({ id: text, hostname: v.nullable(text), last_heartbeat: v.nullable(text) })),
  /** Who has polled the queue, and those where its calls wait, lately, as Temporal sees it. */
  pollers: v.array(
    v.object({ identity: text, kind: v.picklist(['workflow', 'activity']), last_seen_at: v.nullable(text) }),
  ),
});
export type Inspection = v.InferOutput<typeof inspectionSchema>;

/** GET /api/v1/server (ours): how the embedded control plane stands. */
export const serverStatusSchema = v.object({
  version: text,
  open_executions: count,
  stuck_executions: count,
  live_workers: count,
  open_streams: count,
  databases: v.array(v.object({ name: text, bytes: count })),
});
export type ServerStatus = v.InferOutput<typeof serverStatusSchema>;

// --- session

export const sessionMessageSchema = v.looseObject({
  role: text,
  content: v.nullish(v.unknown()),
  timestamp: optionalText,
  message_id: optionalText,
});
export type SessionMessage = v.InferOutput<typeof sessionMessageSchema>;

export const sessionSchema = v.object({
  session_id: text,
  execution_id: text,
  messages: v.array(sessionMessageSchema),
  message_count: v.optional(v.number(), 0),
  metadata: v.nullish(object),
});
export type Session = v.InferOutput<typeof sessionSchema>;

export const saveSessionSchema = v.object({
  session_id: text,
  user_id: optionalText,
  messages: v.array(sessionMessageSchema),
  metadata: v.nullish(object),
});
export type SaveSession = v.InferInput<typeof saveSessionSchema>;

/** 201 even when `success` is false: read the body. */
export const saveSessionResponseSchema = v.object({
  success: v.boolean(),
  execution_id: optionalText,
  session_id: optionalText,
  persisted_messages: v.optional(v.number(), 0),
});

// --- events

/** One event of an old worker; without `event_id` it cannot be deduplicated. */
export const publishEventSchema = v.object({
  event_type: agentEventSchema.entries.event_type,
  data: object,
  timestamp: optionalText,
  event_id: v.nullish(agentEventSchema.entries.event_id),
});
export type PublishEvent = v.InferInput<typeof publishEventSchema>;
export const publishEventResponseSchema = v.object({ success: v.boolean(), execution_id: text, event_type: text });

/** Ours. The server makes `status` and `done` itself out of the PATCH: those two types are accepted and not stored. */
export const publishBatchSchema = v.object({
  events: v.pipe(v.array(agentEventSchema), v.minLength(1), v.maxLength(eventBatchCountMax)),
});
export type PublishBatch = v.InferInput<typeof publishBatchSchema>;
export const publishBatchResponseSchema = v.object({ accepted: count, duplicates: count });
export type PublishBatchResponse = v.InferOutput<typeof publishBatchResponseSchema>;

/** GET /executions/{id}/events (ours): the log as stored, after `?after=<sequence>`, at most `?limit=`. */
export const storedEventSchema = v.object({ sequence: count, ...agentEventSchema.entries });
export type StoredEvent = v.InferOutput<typeof storedEventSchema>;

// --- the stream (SSE), frame id `{execution_id}_{sequence}_{unix micros}`

/** `data` of worker events is nested; `message`, `status`, `done` and the marks below are flat. */
export const nestedFrameSchema = v.object({ event_type: text, data: object, timestamp: text, event_id: optionalText });
export const statusFrameSchema = v.object({
  status: text,
  execution_id: text,
  source: optionalText,
  timestamp: optionalText,
  reason: optionalText,
});
export const messageFrameSchema = v.looseObject({
  role: text,
  content: text,
  message_id: optionalText,
  timestamp: optionalText,
});
export const historyCompleteFrameSchema = v.object({
  execution_id: text,
  message_count: count,
  is_truncated: v.boolean(),
  has_more: v.boolean(),
});
export const gapFrameSchema = v.object({ reason: text, buffer_oldest: v.nullish(v.union([text, v.number()])) });
export const doneFrameSchema = v.object({
  execution_id: text,
  status: text,
  response: optionalText,
  error: optionalText,
  usage: v.nullish(object),
  duration_ms: v.nullish(v.number()),
});
export type DoneFrame = v.InferOutput<typeof doneFrameSchema>;
