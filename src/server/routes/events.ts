// What workers report while an execution runs, and everything that follows it: events, stream and session.
import { Hono } from 'hono';
import * as v from 'valibot';
import { createId } from '../../lib/ids.ts';
import {
  publishBatchResponseSchema,
  publishBatchSchema,
  publishEventResponseSchema,
  publishEventSchema,
  saveSessionResponseSchema,
  saveSessionSchema,
  sessionSchema,
  storedEventSchema,
  type SessionMessage,
} from '../../protocol/control-plane.ts';
import type { WireEvent } from '../../protocol/events.ts';
import type { ServerDeps } from '../deps.ts';
import type { Published } from '../events.ts';
import { findExecution } from '../lookups.ts';
import { digits, jsonBody, query, route } from '../openapi.ts';
import { HttpProblem } from '../problems.ts';
import { parseBody } from '../store/resources.ts';
import type { ExecutionRecord } from '../store/executions.ts';
import { streamExecution } from '../stream.ts';

const tag = 'events';
/** 50,000 model calls with a tool each; an execution that says more is broken, and its log would fill the disk. */
const eventsPerExecutionMax = 200_000;
/** The longest answers of models are half of it; tools cut their output at 10,000 characters. */
const eventDataBytesMax = 1_000_000;
const eventsListedMax = 1_000;
/** Messages of a session that is put together from events. */
const sessionMessagesMax = 1_000;
/** The server makes these itself when a status is reported, in one transaction with it. */
const ownTypes: ReadonlySet<string> = new Set(['status', 'done']);

export function eventRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  addPublishing(app, deps);
  addReading(app, deps);
  addSession(app, deps);
  return app;
}

function addPublishing(app: Hono, deps: ServerDeps): void {
  app.post(
    '/api/v1/executions/:id/events',
    route({
      summary: 'Report an event',
      tag,
      answers: { 202: publishEventResponseSchema },
      refusals: [404, 413, 422, 507],
    }),
    jsonBody(publishEventSchema),
    async (context) => {
      const execution = findExecution(deps, context.req.param('id'));
      const { event_type, data, timestamp, event_id } = context.req.valid('json');
      const now = new Date(deps.clock.now()).toISOString();
      await publish(deps, execution, [
        { event_id: event_id ?? createId(), event_type, data, timestamp: timestamp ?? now },
      ]);
      return context.json({ success: true, execution_id: execution.id, event_type }, 202);
    },
  );
  app.post(
    '/api/v1/executions/:id/events/batch',
    route({
      summary: 'Report events in order',
      description: 'Answered when they are on disk. An event id that is there already is counted as a duplicate.',
      tag,
      answers: { 202: publishBatchResponseSchema },
      refusals: [404, 413, 422, 507],
    }),
    jsonBody(publishBatchSchema),
    async (context) => {
      const execution = findExecution(deps, context.req.param('id'));
      return context.json(await publish(deps, execution, context.req.valid('json').events), 202);
    },
  );
}

function addReading(app: Hono, deps: ServerDeps): void {
  app.get(
    '/api/v1/executions/:id/events',
    route({
      summary: 'The log, after a sequence number',
      tag,
      answers: { 200: v.array(storedEventSchema) },
      refusals: [404, 422],
    }),
    query(v.object({ after: digits, limit: digits })),
    (context) => {
      const { number } = findExecution(deps, context.req.param('id'));
      const { after, limit } = context.req.valid('query');
      const rows = deps.store.events.after(number, Number(after ?? 0), Math.min(Number(limit ?? 200), eventsListedMax));
      return context.json(
        rows.map(({ sequence, eventId, eventType, data, timestamp }) => {
          return { sequence, event_id: eventId, event_type: eventType, data: parseBody(data), timestamp };
        }),
      );
    },
  );
  app.get(
    '/api/v1/executions/:id/stream',
    route({
      summary: 'Follow an execution (server-sent events)',
      description: 'The log from its start, `history_complete`, then what happens; ends with `done`.',
      headers: {
        'Last-Event-ID': 'Go on behind this one; an id that is not known starts over after `gap_detected`',
      },
      isStream: true,
      tag,
      answers: {},
      refusals: [404, 422],
    }),
    query(v.object({ last_event_id: v.nullish(v.string()) })),
    (context) => {
      const execution = findExecution(deps, context.req.param('id'));
      const lastEventId = context.req.header('last-event-id') ?? context.req.valid('query').last_event_id ?? undefined;
      return streamExecution(deps, execution, lastEventId, context.req.raw.signal);
    },
  );
}

function addSession(app: Hono, deps: ServerDeps): void {
  const { store } = deps;
  app.get(
    '/api/v1/executions/:id/session',
    route({ summary: 'The conversation', tag, answers: { 200: sessionSchema }, refusals: [404] }),
    (context) => {
      const { id, number } = findExecution(deps, context.req.param('id'));
      const saved = store.executions.findSession(number);
      const messages = saved === null ? messagesOf(deps, number) : saved.messages;
      return context.json({
        session_id: saved?.sessionId ?? id,
        execution_id: id,
        messages,
        message_count: messages.length,
        metadata: saved?.metadata ?? {},
      });
    },
  );
  app.post(
    '/api/v1/executions/:id/session',
    route({
      summary: 'Save the conversation (workers)',
      tag,
      answers: { 201: saveSessionResponseSchema },
      refusals: [404, 413, 422, 507],
    }),
    jsonBody(saveSessionSchema),
    (context) => {
      const { id, number } = findExecution(deps, context.req.param('id'));
      const { session_id, messages, metadata } = context.req.valid('json');
      store.executions.saveSession(number, { sessionId: session_id, messages, metadata: metadata ?? {} });
      return context.json({ success: true, execution_id: id, session_id, persisted_messages: messages.length }, 201);
    },
  );
}

async function publish(deps: ServerDeps, execution: ExecutionRecord, events: readonly WireEvent[]): Promise<Published> {
  const stored = events.filter((event) => !ownTypes.has(event.event_type));
  const tooLarge = stored.find((event) => JSON.stringify(event.data).length > eventDataBytesMax);
  if (tooLarge !== undefined) {
    throw new HttpProblem(413, `The data of an event is larger than ${eventDataBytesMax} bytes`, {
      code: 'event_too_large',
      extra: { event_id: tooLarge.event_id },
    });
  }
  if (deps.store.events.count(execution.number) + stored.length > eventsPerExecutionMax) {
    throw new HttpProblem(413, `The execution has ${eventsPerExecutionMax} events`, { code: 'event_log_full' });
  }
  const ignored = events.length - stored.length;
  if (stored.length === 0) return { accepted: ignored, duplicates: 0 };
  const { accepted, duplicates } = await deps.events.publish(execution.number, stored);
  return { accepted: accepted + ignored, duplicates };
}

function messagesOf({ store }: ServerDeps, execution: number): SessionMessage[] {
  const messages: SessionMessage[] = [];
  for (let after = 0; messages.length < sessionMessagesMax;) {
    const rows = store.events.after(execution, after, eventsListedMax);
    for (const { eventType, data, timestamp } of rows) {
      if (eventType === 'message') messages.push({ timestamp, ...parseBody(data) } as SessionMessage);
    }
    if (rows.length === 0) break;
    after = rows.at(-1)?.sequence ?? after;
  }
  return messages.slice(0, sessionMessagesMax);
}
