// Whether the server answers, without a token.
import { Hono } from 'hono';
import { healthSchema, type Health } from '../../protocol/control-plane.ts';
import type { ServerDeps } from '../deps.ts';
import { route } from '../openapi.ts';

export function healthRoutes({ clock, version, instanceId, store }: ServerDeps): Hono {
  const app = new Hono();
  const timestamp = (): string => new Date(clock.now()).toISOString();
  const description = { tag: 'health', answers: { 200: healthSchema }, isOpen: true };
  for (const path of ['/health', '/api/health']) {
    app.get(path, route({ summary: 'The server answers', ...description }), (context) => {
      const health: Health = { status: 'healthy', service: 'kubiya-server', timestamp: timestamp(), version };
      return context.json({ ...health, instance_id: instanceId } satisfies Health);
    });
  }
  app.get('/api/ready', route({ summary: 'The server and its store answer', ...description }), (context) => {
    // The store is asked, its numbers are not told: nobody has shown a token.
    store.executions.openCount();
    const health: Health = { status: 'ready', service: 'kubiya-server', timestamp: timestamp(), version };
    return context.json(health);
  });
  return app;
}
