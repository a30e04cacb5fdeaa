// The control plane's HTTP API: limits, token, routes, errors and the OpenAPI document that is made of them.
import { Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { openAPIRouteHandler } from 'hono-openapi';
import { requestBodyBytesMax } from '../protocol/control-plane.ts';
import { isSignedInstead, requireToken } from './auth.ts';
import type { ServerDeps } from './deps.ts';
import { answerProblem, HttpProblem } from './problems.ts';
import { analyticsRoutes } from './routes/analytics.ts';
import { approvalRoutes } from './routes/approvals.ts';
import { catalogRoutes } from './routes/catalog.ts';
import { dynamicRoutes } from './routes/dynamic.ts';
import { environmentRoutes } from './routes/environment.ts';
import { eventRoutes } from './routes/events.ts';
import { executionRoutes } from './routes/executions.ts';
import { healthRoutes } from './routes/health.ts';
import { inspectionRoutes } from './routes/inspection.ts';
import { plannerRoutes } from './routes/planner.ts';
import { jobRoutes } from './routes/jobs.ts';
import { queueRoutes } from './routes/queues.ts';
import { serverRoutes } from './routes/server.ts';
import { skillAssociationRoutes } from './routes/skills.ts';
import { teamMemberRoutes } from './routes/teams.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { workerRoutes } from './routes/workers.ts';

export const openApiPath = '/api/openapi.json';

export function createApp(deps: ServerDeps): Hono {
  const app = new Hono();
  app.onError((error, context) => answerProblem(error, context, deps.log));
  app.notFound((context) => {
    const problem = new HttpProblem(404, 'There is no such route', {
      code: 'route_not_found',
      hint: `GET ${openApiPath} lists them`,
    });
    return answerProblem(problem, context, deps.log);
  });
  app.use(requireToken(deps.token), limitBody(), requireJson);
  const parts = [
    healthRoutes(deps),
    // Before the catalog, whose `/skills/:id` would take their paths.
    skillAssociationRoutes(deps),
    queueRoutes(deps),
    workerRoutes(deps),
    executionRoutes(deps),
    plannerRoutes(deps),
    inspectionRoutes(deps),
    dynamicRoutes(deps),
    approvalRoutes(deps),
    analyticsRoutes(deps),
    serverRoutes(deps),
    jobRoutes(deps),
    webhookRoutes(deps),
    eventRoutes(deps),
    environmentRoutes(deps),
    teamMemberRoutes(deps),
    ...catalogRoutes(deps),
  ];
  for (const part of parts) app.route('/', part);
  app.get(
    openApiPath,
    openAPIRouteHandler(app, {
      documentation: {
        openapi: '3.1.0',
        info: {
          title: 'kubiya control plane',
          version: deps.version,
          description: 'The embedded control plane of kubiya: the same API as the cloud, for one machine.',
        },
        components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
        security: [{ bearer: [] }],
      },
    }),
  );
  return app;
}

function limitBody(): MiddlewareHandler {
  return bodyLimit({
    maxSize: requestBodyBytesMax,
    onError: () => {
      throw new HttpProblem(413, `The request is larger than ${requestBodyBytesMax} bytes`, { code: 'body_too_large' });
    },
  });
}

/** A body of another type would be read as an empty one, and the answer would complain about missing fields. */
const requireJson: MiddlewareHandler = async (context, next) => {
  // Whoever calls a webhook sends what it sends.
  if (isSignedInstead(context.req.method, context.req.path)) return next();
  const type = context.req.header('content-type');
  if (type !== undefined && context.req.method !== 'GET' && !/^application\/([\w.-]+\+)?json\b/i.test(type)) {
    throw new HttpProblem(415, 'The request is not JSON', {
      code: 'unsupported_media_type',
      hint: 'send "Content-Type: application/json"',
    });
  }
  return next();
};
