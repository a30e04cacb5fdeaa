// The members of a team: what a team's configuration must be, and the routes that change one member at a time.
import { Hono } from 'hono';
import { teamSchema } from '../../protocol/control-plane.ts';
import type { ServerDeps } from '../deps.ts';
import { findResource } from '../lookups.ts';
import { route } from '../openapi.ts';
import { HttpProblem, notFound } from '../problems.ts';
import type { Body, Resource } from '../store/resources.ts';
import { shownResource, unknownReference } from './resources.ts';

const path = '/api/v1/teams/:id/agents/:agent';
const tag = 'teams';

export function teamMemberRoutes(deps: ServerDeps): Hono {
  const { resources } = deps.store;
  const app = new Hono();
  const replaceMembers = ({ id, name, body }: Resource, members: readonly string[]): Body => {
    const configuration = { ...(body['configuration'] as Body | null), member_ids: members };
    resources.replace('team', id, name, checkedTeam(deps, { ...body, configuration }));
    return shownResource(deps, 'team', findResource(deps, 'team', id));
  };
  app.post(
    path,
    route({ summary: 'Make an agent a member', tag, answers: { 200: teamSchema }, refusals: [400, 404] }),
    (context) => {
      const team = findResource(deps, 'team', context.req.param('id'));
      const agent = resources.find('agent', context.req.param('agent'));
      if (agent === null) throw unknownReference('agent', context.req.param('agent'));
      return context.json(replaceMembers(team, [...membersOf(team.body), agent.id]));
    },
  );
  app.delete(
    path,
    route({ summary: 'Take an agent out of the team', tag, answers: { 204: null }, refusals: [404] }),
    (context) => {
      const team = findResource(deps, 'team', context.req.param('id'));
      const named = context.req.param('agent');
      // One that was deleted is still a member by its id.
      const id = resources.find('agent', named)?.id ?? named;
      const members = membersOf(team.body);
      if (!members.includes(id)) throw notFound('member', named, `\`kubiya team get ${team.name}\` shows them`);
      replaceMembers(
        team,
        members.filter((member) => member !== id),
      );
      return context.body(null, 204);
    },
  );
  return app;
}

export function membersOf(team: Body): string[] {
  const members = (team['configuration'] as Body | null | undefined)?.['member_ids'];
  return Array.isArray(members) ? members.map(String) : [];
}

/** The body with members by id. Throws the 400 for a member that is not there, is there twice or has another runtime. */
export function checkedTeam({ store }: ServerDeps, body: Body): Body {
  const members = membersOf(body).map((named) => {
    const agent = store.resources.find('agent', named);
    if (agent === null) throw unknownReference('agent', named);
    return agent;
  });
  const twice = members.find(({ id }, index) => members.findIndex((other) => other.id === id) !== index);
  if (twice !== undefined) {
    throw new HttpProblem(400, `The agent ${twice.name} is a member already`, { code: 'member_twice' });
  }
  const other = members.find((agent) => agent.body['runtime'] !== 'claude_code');
  if (body['runtime'] === 'claude_code' && other !== undefined) {
    throw new HttpProblem(400, `A team of the runtime claude_code has only such members, and ${other.name} is none`, {
      code: 'member_runtime',
      hint: `\`kubiya agent update ${other.name} --runtime claude_code\``,
    });
  }
  if (members.length === 0) return body;
  return {
    ...body,
    configuration: { ...(body['configuration'] as Body | null), member_ids: members.map(({ id }) => id) },
  };
}
