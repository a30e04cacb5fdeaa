// Makes a plan of a task: with a language model where there is one, else by rules, and says which it was.
import { messageOf } from '../errors.ts';
import { createId } from '../lib/ids.ts';
import { isRetryableFailure, type ModelClient, type ModelMessage } from '../protocol/model.ts';
import type { Plan, PlanEvent, PlanRequest } from '../protocol/planner.ts';
import type { ServerDeps } from './deps.ts';
import { candidatesOf, planByRules } from './planner-rules.ts';
import { planTokensMax, readAnswer, systemPromptOf, taskPromptOf } from './planner-prompt.ts';
import { HttpProblem } from './problems.ts';

/** The model to plan with, or why there is none. Handed in by whoever starts the server. */
export type PlannerModel =
  | { readonly kind: 'model'; readonly client: ModelClient; readonly model: string }
  | { readonly kind: 'none'; readonly reason: string };
export type FindPlannerModel = (modelId: string | undefined, signal: AbortSignal) => Promise<PlannerModel>;

export type PlannerDeps = Pick<ServerDeps, 'findPlannerModel' | 'clock' | 'log'>;

/** What to plan with on this control plane. */
export async function plannerModel(
  deps: PlannerDeps,
  asked: string | undefined,
  signal: AbortSignal,
): Promise<PlannerModel> {
  const none = { kind: 'none', reason: 'this control plane has none' } as const;
  return (await deps.findPlannerModel?.(asked, signal)) ?? none;
}

export interface PlanOptions {
  readonly signal: AbortSignal;
  readonly onEvent: (event: PlanEvent) => void;
}

/** A person waits for it: a model that needs longer loses to the rules. */
const planLimitMs = 120_000;
/** The first answer, and one more when it was no plan or the provider was in trouble for a moment. */
const attemptsMax = 2;
/** A reader's terminal, and a bound for what waits in the stream of a slow one. */
const thinkingCharactersMax = 20_000;

/** The last event is `complete` with the plan. Throws a HttpProblem when there is nobody to choose from. */
export async function makePlan(
  deps: PlannerDeps,
  request: PlanRequest,
  { signal, onEvent }: PlanOptions,
): Promise<Plan> {
  const candidates = candidatesOf(request);
  onEvent({ type: 'progress', stage: 'resources', message: `Choosing among ${candidates.length}`, progress: 10 });
  const attempt = await planWithModel(deps, request, { signal, onEvent });
  signal.throwIfAborted();
  const made = attempt.kind === 'planned' ? attempt.plan : planByRules(request, whyRules(attempt));
  if (made === undefined) throw nobody();
  if (attempt.kind === 'no_model')
    onEvent({ type: 'notice', message: `Planned by rules, without a language model: ${attempt.reason}` });
  const plan: Plan = { plan_id: createId(), ...made, created_at: new Date(deps.clock.now()).toISOString() };
  onEvent({ type: 'complete', plan, progress: 100, message: 'The plan is ready' });
  return plan;
}

function nobody(): HttpProblem {
  return new HttpProblem(400, 'There is no agent and no team that could do the task', {
    code: 'no_agents',
    hint: 'create one with `kubiya agent create --name default`',
  });
}

type Attempt =
  | { readonly kind: 'planned'; readonly plan: Plan }
  | { readonly kind: 'no_model'; readonly reason: string }
  /** Only one agent, and nobody wants its task broken down. */
  | { readonly kind: 'no_choice' };

function whyRules(attempt: Exclude<Attempt, { kind: 'planned' }>): string {
  return attempt.kind === 'no_model' ? `There was no language model to plan with: ${attempt.reason}.` : '';
}

async function planWithModel(deps: PlannerDeps, request: PlanRequest, options: PlanOptions): Promise<Attempt> {
  const isQuick = request.quick_mode === true;
  const candidates = candidatesOf(request);
  if (candidates.length === 0) throw nobody();
  if (isQuick && candidates.length === 1) return { kind: 'no_choice' };
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(planLimitMs)]);
  const found = await plannerModel(deps, request.model_id ?? undefined, signal);
  if (found.kind === 'none') return { kind: 'no_model', reason: found.reason };
  const { client, model } = found;
  options.onEvent({ type: 'progress', stage: 'planning', message: `Planning with ${model}`, progress: 30 });
  const messages: ModelMessage[] = [{ role: 'user', content: taskPromptOf(request) }];
  let reason = '';
  for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
    const outcome = await client.complete(
      {
        model,
        systemPrompt: systemPromptOf(isQuick),
        messages,
        tools: [],
        maxOutputTokens: isQuick ? planTokensMax.quick : planTokensMax.full,
      },
      thinkingReporter(options.onEvent),
      signal,
    );
    options.signal.throwIfAborted();
    if (!outcome.ok) {
      reason = outcome.failure.message;
      if (!isRetryableFailure(outcome.failure.kind)) break;
      continue;
    }
    const { content } = outcome.result.message;
    const answer = readAnswer(content, request);
    if (answer.ok) {
      if (answer.notice !== undefined) options.onEvent({ type: 'notice', message: answer.notice });
      return { kind: 'planned', plan: answer.plan };
    }
    reason = `${model} gave no plan (${answer.problem})`;
    const again = `That is no plan: ${answer.problem}. Answer again with the JSON object alone.`;
    messages.push(
      { role: 'assistant', content: content || '(nothing)', toolCalls: [] },
      { role: 'user', content: again },
    );
    options.onEvent({ type: 'progress', stage: 'repair', message: 'Asking the model again', progress: 60 });
  }
  deps.log.warn('The planner fell back to its rules', { reason });
  return { kind: 'no_model', reason };
}

function thinkingReporter(onEvent: PlanOptions['onEvent']): Parameters<ModelClient['complete']>[1] {
  let room = thinkingCharactersMax;
  return (delta) => {
    if (delta.type !== 'thinking' || room <= 0) return;
    const content = delta.text.slice(0, room);
    room -= content.length;
    onEvent({ type: 'thinking', content });
  };
}

/** What the stream says when no plan came of it. */
export function failedPlan(error: unknown): PlanEvent {
  const hint = error instanceof HttpProblem ? error.options.hint : undefined;
  return { type: 'error', message: messageOf(error), ...(hint === undefined ? {} : { suggestion: hint }) };
}
