// Executions whose agent is in the request itself and nowhere else.
import * as v from 'valibot';
import { executeRequestSchema, executionEnvironmentSchema } from './control-plane.ts';

const text = v.string();
const optionalText = v.nullish(text);
const object = v.record(text, v.unknown());
/** As long as the name of an agent. */
const nameCharactersMax = 255;

export const dynamicEntitySchema = v.object({
  entity_type: v.optional(v.picklist(['agent', 'team']), 'agent'),
  name: v.nullish(v.pipe(text, v.maxLength(nameCharactersMax))),
  system_prompt: v.pipe(text, v.regex(/\S/)),
  model_id: optionalText,
  model_params: v.nullish(object),
  capabilities: v.nullish(v.array(text)),
  configuration: v.nullish(object),
  mcp_servers: v.nullish(object),
  skill_ids: v.nullish(v.array(text)),
  subagents: v.nullish(v.union([object, v.array(v.unknown())])),
  runtime: optionalText,
});
export type DynamicEntity = v.InferOutput<typeof dynamicEntitySchema>;

/** POST /dynamic-executions/execute. */
export const dynamicExecuteSchema = v.object({
  prompt: executeRequestSchema.entries.prompt,
  entity: dynamicEntitySchema,
  worker_queue_id: optionalText,
  meta_agent_session_id: optionalText,
  is_shared: v.nullish(v.boolean()),
  privacy_level: optionalText,
  execution_environment: v.nullish(executionEnvironmentSchema),
});
export type DynamicExecute = v.InferInput<typeof dynamicExecuteSchema>;

export const dynamicExecuteResponseSchema = v.object({
  execution_id: text,
  workflow_id: optionalText,
  status: text,
  entity_id: optionalText,
  worker_queue_id: optionalText,
  message: optionalText,
});
export type DynamicExecuteResponse = v.InferOutput<typeof dynamicExecuteResponseSchema>;

/** POST /dynamic-executions/resolve-queue: where such an execution would go. */
export const resolveQueueSchema = v.object({ worker_queue_id: optionalText, environment_id: optionalText });
export const resolveQueueResponseSchema = v.object({
  worker_queue_id: text,
  worker_queue_name: optionalText,
  environment_id: optionalText,
  active_workers: v.optional(v.number(), 0),
});
export type ResolveQueueResponse = v.InferOutput<typeof resolveQueueResponseSchema>;
