// The embedded control plane about itself: its numbers, and a copy of its database while it runs.
import { createReadStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { Hono } from 'hono';
import { serverStatusSchema } from '../../protocol/control-plane.ts';
import type { ServerDeps } from '../deps.ts';
import { route } from '../openapi.ts';
import { HttpProblem } from '../problems.ts';

const tag = 'server';

export function serverRoutes(deps: ServerDeps): Hono {
  const { store, events, version } = deps;
  const app = new Hono();
  app.get(
    '/api/v1/server',
    route({ summary: 'How this control plane stands', tag, answers: { 200: serverStatusSchema } }),
    (context) =>
      context.json({
        version,
        open_executions: store.executions.openCount(),
        stuck_executions: store.executions.stuckCount(),
        live_workers: store.queues.liveWorkerCount(),
        open_streams: events.subscriberCount,
        databases: deps.databases.map(({ name, path }) => ({ name, bytes: bytesOf(path) })),
      }),
  );
  app.get(
    '/api/v1/server/snapshot',
    route({
      summary: 'A consistent copy of the control plane’s database',
      description: 'An SQLite file. `kubiya server backup` puts it into an archive with Temporal’s and the keys.',
      tag,
      answers: { 200: null },
      refusals: [409, 507],
    }),
    () => {
      events.flush();
      const snapshot = store.snapshot();
      if (snapshot === null) throw nothingToCopy();
      const stream = createReadStream(snapshot.path);
      stream.once('close', () => snapshot.remove());
      return new Response(Readable.toWeb(stream) as ReadableStream<Uint8Array>, {
        headers: { 'content-type': 'application/octet-stream', 'content-length': String(bytesOf(snapshot.path)) },
      });
    },
  );
  return app;
}

function nothingToCopy(): HttpProblem {
  return new HttpProblem(409, 'This control plane keeps nothing', {
    code: 'server_in_memory',
    hint: 'it is the private one of an `exec --local`',
  });
}

/** With its write-ahead log. */
function bytesOf(path: string): number {
  return [path, `${path}-wal`].reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
}
