// The one route that strangers may call: a signed delivery starts an execution of its job.
import { Hono, type Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { jobRunSchema, webhookBodyBytesMax, webhookHeaders, type JobRun } from '../../protocol/jobs.ts';
import { createId } from '../../lib/ids.ts';
import type { ServerDeps } from '../deps.ts';
import { runJob, webhookPath } from '../jobs.ts';
import { route } from '../openapi.ts';
import { HttpProblem, notFound } from '../problems.ts';
import type { JobRecord } from '../store/jobs.ts';
import { createRateLimit, readBody, verifyDelivery, type RateLimit } from '../webhooks.ts';

export function webhookRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  const rateLimit = createRateLimit(deps.clock);
  app.post(
    webhookPath(':id'),
    route({
      summary: 'Start an execution of a job (whoever has the secret of the webhook)',
      description:
        'No token: the signature is HMAC-SHA256 with the secret of the webhook, over "<timestamp>.<body>", or over the body for GitHub. The body is JSON or text.',
      headers: {
        [webhookHeaders.signature]: 'sha256=<hex>',
        [webhookHeaders.timestamp]: 'Seconds since 1970, at most 5 minutes from now; a part of what is signed',
        [webhookHeaders.delivery]: 'A repetition with the same id is answered with the first execution',
        [webhookHeaders.githubSignature]: 'Instead of the first two, as GitHub signs',
      },
      tag: 'jobs',
      answers: { 200: jobRunSchema, 202: jobRunSchema },
      refusals: [400, 401, 404, 409, 413, 415, 422, 429, 502, 503, 507],
      isOpen: true,
    }),
    bodyLimit({
      maxSize: webhookBodyBytesMax,
      onError: () => {
        const detail = `The body is larger than ${webhookBodyBytesMax} bytes`;
        throw new HttpProblem(413, detail, { code: 'body_too_large' });
      },
    }),
    async (context) => {
      const job = webhookOf(deps, context.req.param('id'));
      const run = await deliver(deps, { job, context, rateLimit });
      return context.json(run, run.execution_id === null ? 200 : 202);
    },
  );
  return app;
}

/** Jobs of other kinds have no URL, so nothing tells that there is one. */
function webhookOf({ store }: ServerDeps, id = ''): JobRecord & { readonly webhookSecret: string } {
  const job = store.jobs.find(id);
  const isMeant = job?.id === id && job.definition.trigger.type === 'webhook';
  if (!isMeant || job.webhookSecret === null) throw notFound('webhook', id);
  return { ...job, webhookSecret: job.webhookSecret };
}

interface Incoming {
  readonly job: JobRecord & { readonly webhookSecret: string };
  readonly context: Context;
  readonly rateLimit: RateLimit;
}

async function deliver(deps: ServerDeps, { job, context, rateLimit }: Incoming): Promise<JobRun> {
  const { store, clock } = deps;
  const { id: jobId } = job;
  const header = (name: string): string | undefined => context.req.header(name);
  const bytes = new Uint8Array(await context.req.arrayBuffer());
  const keys = verifyDelivery({ header, body: bytes }, job.webhookSecret, clock.now());
  const earlier = store.jobs.deliveryOf(jobId, keys);
  if (earlier !== null && store.executions.find(earlier) !== null)
    return { job_id: jobId, execution_id: earlier, is_duplicate: true };
  // GitHub asks once whether the URL is right.
  if (header(webhookHeaders.githubEvent) === 'ping') return { job_id: jobId, execution_id: null };
  if (!job.definition.isEnabled) {
    const hint = `\`kubiya job enable ${job.definition.name}\` enables it`;
    throw new HttpProblem(409, 'The job is disabled', { code: 'job_disabled', hint });
  }
  const waitMs = rateLimit.take(jobId);
  if (waitMs > 0) {
    context.header('Retry-After', String(Math.ceil(waitMs / 1000)));
    throw new HttpProblem(429, 'Too many deliveries to this webhook', { code: 'rate_limited', retryable: true });
  }
  const encoding = header('content-encoding') ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    const detail = 'The body is compressed';
    throw new HttpProblem(415, detail, { code: 'unsupported_media_type', hint: 'send it as it is' });
  }
  const body = readBody(bytes, header('content-type'));
  const executionId = createId();
  // Before the execution: until its row is written, in the same turn of the event loop, nobody else gets here.
  store.jobs.recordDelivery(jobId, keys, executionId);
  try {
    await runJob(deps, job, { triggerType: 'webhook', body, executionId });
  } catch (error) {
    // Its row is there, and it starts when Temporal is back: that is accepted.
    if (store.executions.find(executionId)?.isOpen !== true) throw error;
  }
  return { job_id: jobId, execution_id: executionId };
}
