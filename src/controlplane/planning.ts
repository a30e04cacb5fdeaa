// Reads the stream in which a control plane makes a plan: events for the reader, at the end the plan.
import * as v from 'valibot';
import { KubiyaError } from '../errors.ts';
import { createSseParser } from '../lib/sse.ts';
import { type Plan, type PlanEvent, type PlanRequestInput, planSchema } from '../protocol/planner.ts';
import type { ControlPlaneClient } from './client.ts';

/** A planner that says nothing for so long, not even a keep-alive, is not there any more. */
const silenceMsMax = 60_000;

export interface PlanningOptions {
  readonly signal: AbortSignal;
  /** Of what is not understood nothing is told: the cloud has events of its own. */
  readonly onEvent: (event: Exclude<PlanEvent, { type: 'complete' | 'error' }>) => Promise<void>;
}

const eventSchema = v.variant('type', [
  v.object({
    type: v.literal('progress'),
    stage: v.optional(v.string(), ''),
    message: v.optional(v.string(), ''),
    progress: v.optional(v.number(), 0),
  }),
  v.object({ type: v.literal('thinking'), content: v.string() }),
  v.object({ type: v.literal('notice'), message: v.string() }),
  v.object({ type: v.literal('complete'), plan: planSchema }),
  v.object({
    type: v.literal('error'),
    message: v.nullish(v.string()),
    error: v.nullish(v.string()),
    suggestion: v.nullish(v.string()),
  }),
]);
type ReadEvent = v.InferOutput<typeof eventSchema>;

/** Throws a KubiyaError when there is no planner, or no plan came of it. */
export async function followPlanning(
  client: Pick<ControlPlaneClient, 'openPlanStream'>,
  request: PlanRequestInput,
  { signal, onEvent }: PlanningOptions,
): Promise<Plan> {
  const silence = new AbortController();
  const response = await client.openPlanStream(request, AbortSignal.any([signal, silence.signal]));
  const bark = (): void => silence.abort(noPlan('the planner has fallen silent'));
  let timer = setTimeout(bark, silenceMsMax);
  const parser = createSseParser();
  try {
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      clearTimeout(timer);
      timer = setTimeout(bark, silenceMsMax);
      const frames = parser.push(chunk);
      if (frames === 'too_long') throw noPlan('the planner sent an event that is too long to be one');
      for (const frame of frames) {
        const event = readEvent(frame.event, frame.data);
        if (event === undefined) continue;
        if (event.type === 'complete') return event.plan;
        if (event.type === 'error')
          throw noPlan(event.message ?? event.error ?? 'the planner failed', event.suggestion ?? undefined);
        await onEvent(event);
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    silence.signal.throwIfAborted();
    if (error instanceof KubiyaError) throw error;
    throw noPlan('the connection to the planner broke off');
  } finally {
    clearTimeout(timer);
    // Ends the connection also when the plan came before its end.
    silence.abort();
  }
  throw noPlan('the planner ended without a plan');
}

/** The name of the event stands in its frame, on some control planes in its data. */
function readEvent(name: string, data: string): ReadEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return undefined; // `[DONE]` and the like
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const parsed = v.safeParse(eventSchema, name === 'message' ? value : { ...value, type: name });
  if (parsed.success) return parsed.output;
  if (name === 'complete') throw noPlan('the planner sent a plan that cannot be read');
  return undefined;
}

function noPlan(message: string, hint?: string): KubiyaError {
  return new KubiyaError(message, {
    kind: 'api_refused',
    code: 'no_plan',
    hint: hint ?? 'name who is to do it: `kubiya exec agent <name> "<prompt>"`',
  });
}
