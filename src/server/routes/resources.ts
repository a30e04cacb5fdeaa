// List, create, get, update and delete of everything that is a name and a body.
import { Hono } from 'hono';
import * as v from 'valibot';
import { organizationId, type ServerDeps } from '../deps.ts';
import { findResource } from '../lookups.ts';
import { digits, jsonBody, query, route } from '../openapi.ts';
import { HttpProblem } from '../problems.ts';
import { isUniqueViolation } from '../store/database.ts';
import { withoutUndefined, type Body, type Resource, type ResourceKind } from '../store/resources.ts';

export interface ResourceRoutes {
  readonly kind: ResourceKind;
  /** Below /api/v1: `agents`. */
  readonly path: string;
  readonly create: v.GenericSchema<Body, Body>;
  readonly update: v.GenericSchema<Body, Body>;
  readonly answer: v.GenericSchema;
  /** What a new one has where the request says nothing. */
  readonly defaults: Body;
  /** The body with ids for names; throws a HttpProblem when it refers to something that does not exist. */
  readonly check?: (body: Body) => Body;
  /** Runs with the deletion; throws a HttpProblem to refuse it. */
  readonly beforeDelete?: (resource: Resource) => void;
  /** Status of a name that is taken. */
  readonly takenStatus?: 400 | 409;
  /** Fields that are computed when it is shown. */
  readonly computed?: (resource: Resource) => Body;
}

/** Their `skill_ids` are kept as associations. */
const kindsWithSkills: ReadonlySet<ResourceKind> = new Set(['environment', 'agent', 'team']);
/** Most things of one kind that are listed at once. */
const listCountMax = 1_000;

export function resourceRoutes(deps: ServerDeps, options: ResourceRoutes): Hono {
  const { kind, answer } = options;
  const { store } = deps;
  const root = `/api/v1/${options.path}`;
  // Ids of models contain slashes (`openai/gpt-5`).
  const one = kind === 'model' ? `${root}/:id{.+}` : `${root}/:id`;
  const tag = options.path;
  const show = (resource: Resource): Body => ({
    ...shownResource(deps, kind, resource),
    ...options.computed?.(resource),
  });
  const write = (given: Body, current: Resource | null): Body =>
    show(refuseTaken(kind, () => written(deps, options, given, current), options.takenStatus));
  const app = new Hono();
  app.get(
    root,
    route({ summary: `List ${options.path}`, tag, answers: { 200: v.array(answer) }, refusals: [422] }),
    query(v.object({ skip: digits, limit: digits, status_filter: v.nullish(v.string()) })),
    (context) => {
      const { skip, limit, status_filter: status } = context.req.valid('query');
      const from = Number(skip ?? 0);
      const all = store.resources.list(kind).map(show);
      const matching = typeof status === 'string' ? all.filter((body) => body['status'] === status) : all;
      return context.json(matching.slice(from, from + Math.min(Number(limit ?? listCountMax), listCountMax)));
    },
  );
  app.post(
    root,
    route({ summary: `Create one of ${options.path}`, tag, answers: { 201: answer }, refusals: [400, 409, 422] }),
    jsonBody(options.create),
    (context) => context.json(write(context.req.valid('json'), null), 201),
  );
  app.get(
    one,
    route({ summary: `One of ${options.path}, by id or name`, tag, answers: { 200: answer }, refusals: [404] }),
    (context) => context.json(show(findResource(deps, kind, context.req.param('id')))),
  );
  app.patch(
    one,
    route({ summary: 'Change the given fields', tag, answers: { 200: answer }, refusals: [400, 404, 409, 422] }),
    jsonBody(options.update),
    (context) => {
      const current = findResource(deps, kind, context.req.param('id'));
      return context.json(write(context.req.valid('json'), current));
    },
  );
  app.delete(
    one,
    route({ summary: 'Delete it', tag, answers: { 204: null }, refusals: [400, 404, 409] }),
    (context) => {
      const resource = findResource(deps, kind, context.req.param('id'));
      store.transaction(() => {
        options.beforeDelete?.(resource);
        store.resources.delete(kind, resource.id);
      });
      return context.body(null, 204);
    },
  );
  return app;
}

/** As it is answered, without what is computed. */
export function shownResource({ store }: ServerDeps, kind: ResourceKind, resource: Resource): Body {
  const skills = kindsWithSkills.has(kind)
    ? { skill_ids: store.resources.skillsOf(kind, resource.id).map(({ skillId }) => skillId) }
    : {};
  return {
    id: resource.id,
    organization_id: organizationId,
    ...resource.body,
    [kind === 'model' ? 'value' : 'name']: resource.name,
    ...skills,
    created_at: resource.createdAt,
    updated_at: resource.updatedAt,
  };
}

/** Creates one, or changes `current`. */
function written(deps: ServerDeps, options: ResourceRoutes, given: Body, current: Resource | null): Resource {
  const { kind, defaults } = options;
  const { store } = deps;
  const { skill_ids: skillIds, ...fields } = given;
  const merged = { ...(current?.body ?? defaults), ...withoutUndefined(fields) };
  const { [kind === 'model' ? 'value' : 'name']: named, ...fieldsOfBody } = merged;
  const name = typeof named === 'string' ? named : (current?.name ?? '');
  const body = options.check?.(fieldsOfBody) ?? fieldsOfBody;
  return store.transaction(() => {
    const resource = current ?? store.resources.insert(kind, name, body);
    if (current !== null) store.resources.replace(kind, current.id, name, body);
    if (Array.isArray(skillIds)) setSkills(deps, kind, resource.id, skillIds.map(String));
    return findResource(deps, kind, resource.id);
  });
}

/** Makes the associations of an entity exactly these, in this order; ids or names. */
function setSkills(deps: ServerDeps, kind: ResourceKind, entityId: string, skillIds: readonly string[]): void {
  const { resources } = deps.store;
  const previous = resources.skillsOf(kind, entityId);
  for (const { skillId } of previous) resources.dissociate(kind, entityId, skillId);
  for (const idOrName of skillIds) {
    const skill = resources.find('skill', idOrName);
    if (skill === null) throw unknownReference('skill', idOrName);
    const override = previous.find(({ skillId }) => skillId === skill.id)?.override ?? null;
    resources.associate(kind, entityId, { skillId: skill.id, override });
  }
}

/** 400 for a body that names something that is not there. */
export function unknownReference(kind: ResourceKind, idOrName: string): HttpProblem {
  return new HttpProblem(400, `There is no ${kind} ${JSON.stringify(idOrName.slice(0, 100))}`, {
    code: `${kind}_not_found`,
    hint: `\`kubiya ${kind} list\` lists them`,
  });
}

export function refuseTaken<T>(noun: string, write: () => T, status: 400 | 409 = 409): T {
  try {
    return write();
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new HttpProblem(status, `The name of this ${noun} is taken`, {
      code: 'name_taken',
      hint: `choose another; \`kubiya ${noun} list\` lists those that are taken`,
    });
  }
}
