// Which skills belong to whom, and what an agent ends up with.
import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { associateSkillSchema, messageSchema, resolvedSkillResponseSchema } from '../../protocol/control-plane.ts';
import type { ServerDeps } from '../deps.ts';
import { findResource } from '../lookups.ts';
import { jsonBody, route } from '../openapi.ts';
import { notFound } from '../problems.ts';
import type { Body, Resource, ResourceKind } from '../store/resources.ts';
import { unknownReference } from './resources.ts';

const tag = 'skills';
const root = '/api/v1/skills/associations';

export function skillAssociationRoutes(deps: ServerDeps): Hono {
  const { resources } = deps.store;
  const app = new Hono();
  // Before the general paths: these say `agents`, those `agent`.
  app.get(
    `${root}/:type{agents|teams}/:id/skills/resolved`,
    route({
      summary: 'The skills that an agent or a team works with',
      description:
        'Environments of the agent, then of its team, then the team, then the agent; of two skills of one name the first stands.',
      tag,
      answers: { 200: v.array(resolvedSkillResponseSchema) },
      refusals: [404],
    }),
    (context) => {
      const kind = context.req.param('type') === 'agents' ? 'agent' : 'team';
      return context.json(resolvedSkills(deps, kind, findResource(deps, kind, context.req.param('id'))));
    },
  );
  app.get(
    `${root}/:type{agent|team|environment}/:id/skills`,
    route({
      summary: 'The skills attached to it',
      tag,
      answers: { 200: v.array(resolvedSkillResponseSchema) },
      refusals: [404],
    }),
    (context) => {
      const { kind, resource } = entityOf(deps, context);
      return context.json(attachedSkills(deps, kind, resource.id, false));
    },
  );
  app.post(
    `${root}/:type{agent|team|environment}/:id/skills`,
    route({ summary: 'Attach a skill', tag, answers: { 201: messageSchema }, refusals: [400, 404, 422] }),
    jsonBody(associateSkillSchema),
    (context) => {
      const { kind, resource } = entityOf(deps, context);
      const { skill_id: idOrName, configuration_override: override } = context.req.valid('json');
      const skill = resources.find('skill', idOrName);
      if (skill === null) throw unknownReference('skill', idOrName);
      resources.associate(kind, resource.id, { skillId: skill.id, override: override ?? null });
      return context.json({ message: `The skill ${skill.name} is attached to ${resource.name}` }, 201);
    },
  );
  app.delete(
    `${root}/:type{agent|team|environment}/:id/skills/:skill`,
    route({ summary: 'Detach a skill', tag, answers: { 204: null }, refusals: [404] }),
    (context) => {
      const { kind, resource } = entityOf(deps, context);
      const skill = findResource(deps, 'skill', context.req.param('skill'));
      if (!resources.dissociate(kind, resource.id, skill.id)) throw notFound('association', skill.name);
      return context.body(null, 204);
    },
  );
  return app;
}

function entityOf(deps: ServerDeps, context: Context): { kind: ResourceKind; resource: Resource } {
  const kind = context.req.param('type') as ResourceKind;
  return { kind, resource: findResource(deps, kind, context.req.param('id')) };
}

function resolvedSkills(deps: ServerDeps, kind: 'agent' | 'team', entity: Resource): Body[] {
  const teamId = kind === 'agent' ? entity.body['team_id'] : undefined;
  const team = typeof teamId === 'string' ? deps.store.resources.find('team', teamId) : null;
  const environments = [...environmentsOf(entity), ...(team === null ? [] : environmentsOf(team))];
  const found = [
    ...environments.flatMap((id) => attachedSkills(deps, 'environment', id, true)),
    ...(team === null ? [] : attachedSkills(deps, 'team', team.id, true)),
    ...attachedSkills(deps, kind, entity.id, false),
  ];
  const byName = new Map<unknown, Body>();
  for (const skill of found) if (!byName.has(skill['name'])) byName.set(skill['name'], skill);
  return [...byName.values()];
}

function environmentsOf({ body }: Resource): string[] {
  const ids = body['environment_ids'];
  return Array.isArray(ids) ? ids.map(String) : [];
}

function attachedSkills({ store }: ServerDeps, source: ResourceKind, entityId: string, inherited: boolean): Body[] {
  return store.resources.skillsOf(source, entityId).flatMap(({ skillId, override }) => {
    const skill = store.resources.find('skill', skillId);
    if (skill === null) return [];
    const configuration = { ...(skill.body['configuration'] as Body | null), ...override };
    return [{ id: skill.id, name: skill.name, ...skill.body, configuration, source, inherited }];
  });
}
