// What an execution used, turn by turn and tool call by tool call, as workers report it and as it is summed up.
import * as v from 'valibot';

const text = v.string();
const optionalText = v.nullish(text);
/** More than anything uses, and sums of it stay numbers: those of 64 bits are an error in SQLite, infinite ones null in JSON. */
const amountMax = 1e12;
const some = v.pipe(v.number(), v.minValue(0), v.maxValue(amountMax, `it must be at most ${amountMax}`));
const amount = v.optional(some, 0);
const optionalAmount = v.nullish(some);
const object = v.record(text, v.unknown());
const id = v.pipe(text, v.minLength(1), v.maxLength(300));

/** Previews, errors and tool texts are for a look, not the record: the conversation and the events have all of it. */
export const analyticsTextCharactersMax = 4_000;
/** Records in one request: an execution of the longest kind reports a few dozen at a time. */
export const analyticsBatchCountMax = 500;

/** One model call that counts. A repetition with the same `turn_id` changes nothing. */
export const turnRecordSchema = v.object({
  execution_id: id,
  turn_number: v.pipe(v.number(), v.integer(), v.minValue(0)),
  model: text,
  started_at: text,
  completed_at: optionalText,
  turn_id: v.nullish(id),
  model_provider: optionalText,
  duration_ms: optionalAmount,
  input_tokens: amount,
  output_tokens: amount,
  cache_read_tokens: amount,
  cache_creation_tokens: amount,
  total_tokens: amount,
  input_cost: amount,
  output_cost: amount,
  cache_read_cost: amount,
  cache_creation_cost: amount,
  /** US dollars. */
  total_cost: amount,
  finish_reason: optionalText,
  response_preview: optionalText,
  tools_called_count: amount,
  tools_called_names: v.optional(v.array(text), []),
  error_message: optionalText,
  metrics: v.nullish(object),
  runtime_minutes: amount,
  model_weight: amount,
  tool_calls_weight: amount,
  aem_value: amount,
  aem_cost: amount,
});
export type TurnRecord = v.InferInput<typeof turnRecordSchema>;

/** One tool call. A repetition with the same `tool_use_id` changes nothing. */
export const toolCallRecordSchema = v.object({
  execution_id: id,
  tool_name: text,
  started_at: text,
  completed_at: optionalText,
  turn_id: v.nullish(id),
  tool_use_id: v.nullish(id),
  duration_ms: optionalAmount,
  tool_input: v.nullish(v.unknown()),
  tool_output: v.nullish(v.unknown()),
  /** Bytes. */
  tool_output_size: optionalAmount,
  success: v.optional(v.boolean(), true),
  error_message: optionalText,
  error_type: optionalText,
  metadata: v.nullish(object),
});
export type ToolCallRecord = v.InferInput<typeof toolCallRecordSchema>;

export const taskRecordSchema = v.object({
  execution_id: id,
  task_description: text,
  task_number: optionalAmount,
  task_id: v.nullish(id),
  task_type: optionalText,
  status: v.optional(text, 'pending'),
  started_at: optionalText,
  completed_at: optionalText,
  duration_ms: optionalAmount,
  result: optionalText,
  error_message: optionalText,
  metadata: v.nullish(object),
});
export type TaskRecord = v.InferInput<typeof taskRecordSchema>;

/** The records of a batch belong to the batch's execution; what they say themselves about it is not read. */
const inBatch = <S extends v.GenericSchema>(record: S) =>
  v.nullish(v.pipe(v.array(record), v.maxLength(analyticsBatchCountMax)));
export const analyticsBatchSchema = v.object({
  execution_id: id,
  turns: inBatch(v.object({ ...turnRecordSchema.entries, execution_id: v.nullish(id) })),
  tool_calls: inBatch(v.object({ ...toolCallRecordSchema.entries, execution_id: v.nullish(id) })),
  tasks: inBatch(v.object({ ...taskRecordSchema.entries, execution_id: v.nullish(id) })),
});
export type AnalyticsBatch = v.InferInput<typeof analyticsBatchSchema>;

/** `…_created` do not count repetitions. */
export const analyticsBatchResponseSchema = v.object({
  turns_created: v.optional(v.number(), 0),
  tool_calls_created: v.optional(v.number(), 0),
  tasks_created: v.optional(v.number(), 0),
});
export type AnalyticsBatchResponse = v.InferOutput<typeof analyticsBatchResponseSchema>;

/** Answer of POST /analytics/turns, /tool-calls and /tasks. */
export const analyticsCreatedSchema = v.object({ success: v.boolean(), id: optionalText });

const usedByModel = v.object({
  model: text,
  turns: v.number(),
  input_tokens: v.number(),
  output_tokens: v.number(),
  cache_read_tokens: v.number(),
  cache_creation_tokens: v.number(),
  total_tokens: v.number(),
  cost_usd: v.number(),
  duration_ms: v.number(),
});
const usedByTool = v.object({
  tool_name: text,
  calls: v.number(),
  failures: v.number(),
  duration_ms: v.number(),
});
/** GET /analytics/summary (ours), of one execution, an agent or team, or everything since a time. */
export const analyticsSummarySchema = v.object({
  executions: v.number(),
  turns: v.number(),
  tool_calls: v.number(),
  tasks: v.number(),
  total_tokens: v.number(),
  cost_usd: v.number(),
  models: v.array(usedByModel),
  tools: v.array(usedByTool),
});
export type AnalyticsSummary = v.InferOutput<typeof analyticsSummarySchema>;
