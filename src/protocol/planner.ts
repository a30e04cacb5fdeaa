// What the planner is asked and what it answers: the plan of a task, and the events while it is made.
import * as v from 'valibot';
import { priorities, promptCharactersMax } from './control-plane.ts';

// As in control-plane.ts: requests ignore unknown keys, answers are read leniently because the cloud leaves much out.

/** Of one kind in a request; a control plane lists at most 1000. */
const candidatesMax = 1_000;

const text = v.string();
const optionalText = v.nullish(text);
const texts = v.nullish(v.array(text));
const amount = v.nullish(v.number());

const candidate = { id: text, name: text, description: optionalText };
const candidates = <T extends v.GenericSchema>(schema: T) =>
  v.optional(v.pipe(v.array(schema), v.maxLength(candidatesMax)), []);

export const planRequestSchema = v.object({
  description: v.pipe(text, v.regex(/\S/), v.maxLength(promptCharactersMax)),
  priority: v.nullish(v.picklist(priorities)),
  agents: candidates(v.object({ ...candidate, capabilities: texts, model_id: optionalText })),
  teams: candidates(v.object({ ...candidate, agents: v.nullish(v.array(v.object({ id: text, name: optionalText }))) })),
  environments: candidates(v.object(candidate)),
  worker_queues: candidates(
    v.object({
      id: text,
      name: text,
      environment_id: optionalText,
      status: optionalText,
      /** Ours. */
      active_workers: amount,
    }),
  ),
  /** Only who is to do it, without breaking the task down. */
  quick_mode: v.nullish(v.boolean()),
  /** Answers to the questions of `previous_plan`, and what else was said. */
  conversation_context: optionalText,
  refinement_feedback: optionalText,
  previous_plan: v.nullish(v.record(text, v.unknown())),
  iteration: amount,
  /** Ours: the model to plan with; without it the planner's own. */
  model_id: optionalText,
});
export type PlanRequest = v.InferOutput<typeof planRequestSchema>;
export type PlanRequestInput = v.InferInput<typeof planRequestSchema>;

const taskSchema = v.object({
  title: text,
  description: optionalText,
  status: optionalText,
  priority: optionalText,
  dependencies: v.nullish(v.array(v.unknown())),
  subtasks: v.nullish(v.array(v.unknown())),
});

export const recommendedExecutionSchema = v.object({
  entity_type: text,
  entity_id: text,
  entity_name: optionalText,
  recommended_environment_id: optionalText,
  recommended_environment_name: optionalText,
  recommended_worker_queue_id: optionalText,
  recommended_worker_queue_name: optionalText,
  reasoning: optionalText,
});

/** A question to the person who asked for the plan; the cloud sends bare sentences as well. */
export const planQuestionSchema = v.union([text, v.looseObject({ question: text, options: texts })]);
export type PlanQuestion = v.InferOutput<typeof planQuestionSchema>;

export const planSchema = v.looseObject({
  /** Ours; whoever gets a plan without one makes it. */
  plan_id: optionalText,
  title: text,
  summary: v.optional(text, ''),
  complexity: v.nullish(v.object({ story_points: amount, confidence: optionalText, reasoning: optionalText })),
  team_breakdown: v.nullish(
    v.array(
      v.looseObject({
        team_id: optionalText,
        team_name: optionalText,
        agent_id: optionalText,
        agent_name: optionalText,
        responsibilities: texts,
        tasks: v.nullish(v.array(taskSchema)),
        estimated_time_hours: amount,
      }),
    ),
  ),
  recommended_execution: recommendedExecutionSchema,
  cost_estimate: v.nullish(v.looseObject({ estimated_cost_usd: amount })),
  realized_savings: v.nullish(v.looseObject({})),
  risks: texts,
  prerequisites: texts,
  success_criteria: texts,
  has_questions: v.nullish(v.boolean()),
  questions: v.nullish(v.array(planQuestionSchema)),
  created_at: optionalText,
});
export type Plan = v.InferOutput<typeof planSchema>;

export const planResponseSchema = v.object({ plan: planSchema });

export const plannerHealthSchema = v.object({
  status: text,
  service: optionalText,
  /** `model` or `rules`. */
  current_strategy: optionalText,
  available_strategies: texts,
  environment: optionalText,
  recommended_strategy: optionalText,
});
export type PlannerHealth = v.InferOutput<typeof plannerHealthSchema>;

/** One event of POST /tasks/plan/stream; `type` is the name of its frame. Others (tool_call, step_started …) are the cloud's own. */
export type PlanEvent =
  | { readonly type: 'progress'; readonly stage?: string; readonly message: string; readonly progress: number }
  | { readonly type: 'thinking'; readonly content: string }
  /** Ours: something that the reader of the plan should know. */
  | { readonly type: 'notice'; readonly message: string }
  | { readonly type: 'complete'; readonly plan: Plan; readonly progress: 100; readonly message: string }
  | { readonly type: 'error'; readonly message: string; readonly details?: string; readonly suggestion?: string };

/** A plan as it is kept in a file of `~/.kubiya/plans`. */
export const savedPlanSchema = v.looseObject({
  plan: planSchema,
  /** The words of the person: what is executed. */
  prompt: v.pipe(text, v.regex(/\S/), v.maxLength(promptCharactersMax)),
  saved_at: optionalText,
  approved: v.optional(v.boolean(), false),
  approved_at: optionalText,
  executed_at: optionalText,
  execution_id: optionalText,
  file_path: optionalText,
});
export type SavedPlan = v.InferOutput<typeof savedPlanSchema>;
