// Planning: who is to do a task and how, as one answer or as a stream of what happens on the way.
import { Hono } from 'hono';
import type { Plan, PlanEvent } from '../../protocol/planner.ts';
import { planRequestSchema, plannerHealthSchema, planResponseSchema } from '../../protocol/planner.ts';
import type { ServerDeps } from '../deps.ts';
import { jsonBody, route } from '../openapi.ts';
import { failedPlan, makePlan, plannerModel } from '../planner.ts';
import { notFound } from '../problems.ts';
import { keepAliveIntervalMs } from '../stream.ts';

const tag = 'planner';
/** Plans are read back right after they were made; whoever wants one longer has it in a file. */
const plansKeptMax = 200;
const healthLimitMs = 2_000;

export function plannerRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  const plans = new Map<string, Plan>();
  const keep = (plan: Plan): Plan => {
    plans.set(plan.plan_id ?? '', plan);
    const [oldest] = plans.keys();
    if (plans.size > plansKeptMax && oldest !== undefined) plans.delete(oldest);
    return plan;
  };
  app.post(
    '/api/v1/tasks/plan',
    route({
      summary: 'Plan a task',
      description: 'With the configured language model; without one by rules, which the plan says.',
      tag,
      answers: { 200: planResponseSchema },
      refusals: [400, 422],
    }),
    jsonBody(planRequestSchema),
    async (context) => {
      const { signal } = context.req.raw;
      const plan = await makePlan(deps, context.req.valid('json'), { signal, onEvent: () => undefined });
      return context.json({ plan: keep(plan) });
    },
  );
  app.post(
    '/api/v1/tasks/plan/stream',
    route({
      summary: 'Plan a task and follow how',
      description: 'Events progress, thinking, notice, and at the end complete (with the plan) or error.',
      tag,
      answers: {},
      isStream: true,
      refusals: [422],
    }),
    jsonBody(planRequestSchema),
    (context) => {
      const request = context.req.valid('json');
      return streamOf(context.req.raw.signal, deps.stopping, async (signal, onEvent) => {
        keep(await makePlan(deps, request, { signal, onEvent }));
      });
    },
  );
  describePlans(app, deps, plans);
  return app;
}

function describePlans(app: Hono, deps: ServerDeps, plans: ReadonlyMap<string, Plan>): void {
  app.get(
    '/api/v1/tasks/plan/health',
    route({ summary: 'How plans are made here', tag, answers: { 200: plannerHealthSchema } }),
    async (context) => {
      const found = await plannerModel(deps, undefined, AbortSignal.timeout(healthLimitMs));
      const strategy = found.kind === 'model' ? 'model' : 'rules';
      const available = found.kind === 'model' ? ['model', 'rules'] : ['rules'];
      return context.json({
        status: 'healthy',
        service: 'task-planner',
        current_strategy: strategy,
        available_strategies: available,
        environment: 'local',
        recommended_strategy: strategy,
      });
    },
  );
  app.get(
    '/api/v1/tasks/plan/:id',
    route({
      summary: 'A plan that was made since the server started',
      tag,
      answers: { 200: planResponseSchema },
      refusals: [404],
    }),
    (context) => {
      const id = context.req.param('id');
      const plan = plans.get(id);
      if (plan === undefined) throw notFound('plan', id, 'exec keeps every plan in ~/.kubiya/plans');
      return context.json({ plan });
    },
  );
}

type Work = (signal: AbortSignal, onEvent: (event: PlanEvent) => void) => Promise<void>;

/** The frames of one plan; the work ends when the reader goes or the server stops. */
function streamOf(clientGone: AbortSignal, stopping: AbortSignal, work: Work): Response {
  const left = new AbortController();
  const signal = AbortSignal.any([left.signal, clientGone, stopping]);
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start: async (controller) => {
      const write = (text: string): void => void (signal.aborted || controller.enqueue(encoder.encode(text)));
      const onEvent = (event: PlanEvent): void => write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      const timer = setInterval(() => write(': keepalive\n\n'), keepAliveIntervalMs);
      try {
        await work(signal, onEvent);
      } catch (error) {
        onEvent(failedPlan(error));
      } finally {
        clearInterval(timer);
        if (!left.signal.aborted) controller.close();
      }
    },
    cancel: () => left.abort(),
  });
  return new Response(body, {
    headers: {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    },
  });
}
