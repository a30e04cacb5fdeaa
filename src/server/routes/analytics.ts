// What executions used, as their workers report it, and its sums.
import { Hono } from 'hono';
import * as v from 'valibot';
import { createId } from '../../lib/ids.ts';
import {
  analyticsBatchResponseSchema,
  analyticsBatchSchema,
  analyticsCreatedSchema,
  analyticsSummarySchema,
  analyticsTextCharactersMax,
  taskRecordSchema,
  toolCallRecordSchema,
  turnRecordSchema,
} from '../../protocol/analytics.ts';
import { ownerExecutionId } from '../../protocol/workflow.ts';
import type { ServerDeps } from '../deps.ts';
import { findExecution, findResource } from '../lookups.ts';
import { jsonBody, query, route } from '../openapi.ts';
import { HttpProblem } from '../problems.ts';
import type { RecordKind } from '../store/analytics.ts';
import type { Body } from '../store/resources.ts';

const tag = 'analytics';
const root = '/api/v1/analytics';
/** 10,000 turns with four tool calls each; one that reports more is broken. */
const recordsPerExecutionMax = 50_000;
const timeProblem = 'it must be a time like 2026-01-31T00:00:00Z';
const time = v.pipe(
  v.string(),
  v.isoTimestamp(timeProblem),
  // `+02` is a zone to the standard and none to Date.
  v.check((value) => !Number.isNaN(Date.parse(value)), timeProblem),
);

export function analyticsRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  addSingle(app, deps, { path: 'turns', kind: 'turn', schema: turnRecordSchema });
  addSingle(app, deps, { path: 'tool-calls', kind: 'tool_call', schema: toolCallRecordSchema });
  addSingle(app, deps, { path: 'tasks', kind: 'task', schema: taskRecordSchema });
  app.post(
    `${root}/batch`,
    route({
      summary: 'Report what an execution used (workers)',
      description: 'A record whose id is there already changes nothing and is not counted.',
      tag,
      answers: { 201: analyticsBatchResponseSchema },
      refusals: [404, 413, 422, 507],
    }),
    jsonBody(analyticsBatchSchema),
    (context) => {
      const { execution_id: id, turns, tool_calls: calls, tasks } = context.req.valid('json');
      const { number } = findExecution(deps, ownerExecutionId(id));
      const lists = [turns ?? [], calls ?? [], tasks ?? []];
      refuseTooMany(
        deps,
        number,
        lists.reduce((all, { length }) => all + length, 0),
      );
      const created = deps.store.transaction(() =>
        (['turn', 'tool_call', 'task'] as const).map(
          (kind, index) => (lists[index] ?? []).filter((record) => add(deps, number, kind, record)).length,
        ),
      );
      const [turnsCreated = 0, callsCreated = 0, tasksCreated = 0] = created;
      const answer = { turns_created: turnsCreated, tool_calls_created: callsCreated, tasks_created: tasksCreated };
      return context.json(answer, 201);
    },
  );
  app.get(
    `${root}/summary`,
    route({
      summary: 'Tokens, cost, turns and tool calls',
      description: 'Of one execution, of an agent or a team, or of all since a time; of what is still kept.',
      tag,
      answers: { 200: analyticsSummarySchema },
      refusals: [404, 422],
    }),
    query(
      v.object({
        execution_id: v.nullish(v.string()),
        agent_id: v.nullish(v.string()),
        team_id: v.nullish(v.string()),
        since: v.nullish(time),
      }),
    ),
    (context) => {
      const { execution_id: id, agent_id: agent, team_id: team, since } = context.req.valid('query');
      const execution = typeof id === 'string' ? findExecution(deps, ownerExecutionId(id)).number : undefined;
      const entity =
        typeof agent === 'string'
          ? findResource(deps, 'agent', agent)
          : typeof team === 'string'
            ? findResource(deps, 'team', team)
            : undefined;
      const from = typeof since === 'string' ? new Date(since).toISOString() : undefined;
      return context.json(deps.store.analytics.summary({ execution, entityId: entity?.id, since: from }));
    },
  );
  return app;
}

interface Single {
  readonly path: string;
  readonly kind: RecordKind;
  readonly schema: v.GenericSchema<Body, { execution_id: string }>;
}

function addSingle(app: Hono, deps: ServerDeps, { path, kind, schema }: Single): void {
  app.post(
    `${root}/${path}`,
    route({
      summary: `Report one of ${path} (workers)`,
      tag,
      answers: { 201: analyticsCreatedSchema },
      refusals: [404, 413, 422, 507],
    }),
    jsonBody(schema),
    (context) => {
      const record = context.req.valid('json');
      const { number } = findExecution(deps, ownerExecutionId(record.execution_id));
      refuseTooMany(deps, number, 1);
      add(deps, number, kind, record);
      return context.json({ success: true, id: idOf(kind, record) }, 201);
    },
  );
}

function add({ store }: ServerDeps, execution: number, kind: RecordKind, record: Body): boolean {
  return store.analytics.add(execution, kind, idOf(kind, record) ?? createId(), bounded(record));
}

function refuseTooMany({ store }: ServerDeps, execution: number, more: number): void {
  if (store.analytics.count(execution) + more <= recordsPerExecutionMax) return;
  throw new HttpProblem(413, `The execution has ${recordsPerExecutionMax} records`, { code: 'too_many_records' });
}

/** What makes a repetition the same record; null when nothing does. */
function idOf(kind: RecordKind, record: Body): string | null {
  const { turn_id: turn, turn_number: number, tool_use_id: call, task_id: task } = record;
  const id = kind === 'turn' ? (turn ?? `turn-${String(number)}`) : kind === 'tool_call' ? call : task;
  return typeof id === 'string' ? id : null;
}

/** Texts cut and structures as cut JSON: this table is for sums and a look, and must not fill a disk. */
function bounded(record: Body): Body {
  const cut = (value: unknown): unknown => {
    if (typeof value === 'string') return value.slice(0, analyticsTextCharactersMax);
    if (typeof value !== 'object' || value === null) return value;
    const json = JSON.stringify(value);
    return json.length <= analyticsTextCharactersMax ? value : json.slice(0, analyticsTextCharactersMax);
  };
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, cut(value)]));
}
