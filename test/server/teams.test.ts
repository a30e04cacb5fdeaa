// Teams and what belongs to them: members, the names that become ids, what a deletion takes along, and the order of skills.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { ControlPlane } from '../../src/server/start.ts';
import { absentTemporal, callerOf, startTestServer, type Call } from './support.ts';

let server: ControlPlane;
let call: Call;

beforeAll(async () => {
  server = await startTestServer(absentTemporal);
  call = callerOf(server.url);
});
afterAll(() => server.stop());

const create = async (path: string, body: Record<string, unknown>): Promise<string> => {
  const answer = await call('POST', `/api/v1/${path}`, body);
  expect(answer).toMatchObject({ status: 201 });
  return String(answer.body['id']);
};
const membersOf = async (team: string): Promise<unknown> =>
  ((await call('GET', `/api/v1/teams/${team}`)).body['configuration'] as Record<string, unknown>)['member_ids'];

describe('members', () => {
  test('are kept by id, whoever names them how, and change one at a time', async () => {
    const one = await create('agents', { name: 'one' });
    const two = await create('agents', { name: 'two' });
    await create('teams', { name: 'pair', configuration: { member_ids: ['one'], instructions: 'be quick' } });
    expect(await membersOf('pair')).toEqual([one]);
    const added = await call('POST', '/api/v1/teams/pair/agents/two');
    expect(added).toMatchObject({
      status: 200,
      body: { name: 'pair', configuration: { member_ids: [one, two], instructions: 'be quick' } },
    });
    expect(await call('POST', '/api/v1/teams/pair/agents/two')).toMatchObject({
      status: 400,
      body: { code: 'member_twice' },
    });
    expect((await call('DELETE', '/api/v1/teams/pair/agents/one')).status).toBe(204);
    expect(await membersOf('pair')).toEqual([two]);
    expect(await call('DELETE', '/api/v1/teams/pair/agents/one')).toMatchObject({ status: 404 });
  });

  test('must exist, be there once and fit the runtime', async () => {
    await create('agents', { name: 'plain' });
    await create('agents', { name: 'coder', runtime: 'claude_code' });
    const refused = async (body: Record<string, unknown>, code: string): Promise<void> => {
      expect(await call('POST', '/api/v1/teams', { name: 'never', ...body })).toMatchObject({
        status: 400,
        body: { code },
      });
    };
    await refused({ configuration: { member_ids: ['absent'] } }, 'agent_not_found');
    await refused({ configuration: { member_ids: ['plain', 'plain'] } }, 'member_twice');
    await refused({ runtime: 'claude_code', configuration: { member_ids: ['coder', 'plain'] } }, 'member_runtime');
    expect((await call('GET', '/api/v1/teams/never')).status).toBe(404);
    await create('teams', { name: 'coders', runtime: 'claude_code', configuration: { member_ids: ['coder'] } });
    expect(await call('POST', '/api/v1/teams/coders/agents/plain')).toMatchObject({
      status: 400,
      body: { code: 'member_runtime' },
    });
    expect(await call('POST', '/api/v1/teams/coders/agents/absent')).toMatchObject({ status: 400 });
    expect(await call('POST', '/api/v1/teams/absent/agents/plain')).toMatchObject({ status: 404 });
  });

  test('a name of a team is taken once, and 400 says so', async () => {
    await create('teams', { name: 'taken' });
    expect(await call('POST', '/api/v1/teams', { name: 'taken' })).toMatchObject({
      status: 400,
      body: { code: 'name_taken' },
    });
  });
});

describe('deletion', () => {
  test('an agent that is a member stays until it is taken out', async () => {
    await create('agents', { name: 'needed' });
    await create('teams', { name: 'needing', configuration: { member_ids: ['needed'] } });
    const refused = await call('DELETE', '/api/v1/agents/needed');
    expect(refused).toMatchObject({ status: 409, body: { code: 'agent_in_use' } });
    expect(refused.body['hint']).toContain('kubiya team update needing --remove-member needed');
    await call('DELETE', '/api/v1/teams/needing/agents/needed');
    expect((await call('DELETE', '/api/v1/agents/needed')).status).toBe(204);
  });

  test('agents of a deleted team belong to none', async () => {
    const team = await create('teams', { name: 'short-lived' });
    await create('agents', { name: 'left-over', team_id: 'short-lived' });
    expect((await call('GET', '/api/v1/agents/left-over')).body).toMatchObject({ team_id: team });
    expect((await call('DELETE', '/api/v1/teams/short-lived')).status).toBe(204);
    expect((await call('GET', '/api/v1/agents/left-over')).body).toMatchObject({ team_id: null });
  });
});

test('of skills of one name the environment has the first word, then the team, then the agent', async () => {
  const shell = async (name: string) => await create('skills', { name, type: 'shell' });
  const all = await shell('shell-all');
  const everywhere = await shell('shell-environment');
  const ofTeam = await shell('shell-team');
  const ofHall = await shell('shell-hall');
  const own = await shell('shell-agent');
  const environment = await create('environments', { name: 'staging', skill_ids: [everywhere, all] });
  const hall = await create('environments', { name: 'hall', skill_ids: [ofHall, all] });
  const team = await create('teams', { name: 'skilled', skill_ids: [ofTeam, all], environment_ids: ['hall'] });
  expect((await call('GET', `/api/v1/teams/${team}`)).body).toMatchObject({ environment_ids: [hall] });
  // By name: what is written are ids.
  const agent = await create('agents', {
    name: 'heir',
    team_id: 'skilled',
    environment_ids: ['staging'],
    skill_ids: [own, all],
  });
  expect((await call('GET', '/api/v1/agents/heir')).body).toMatchObject({
    environment_ids: [environment],
    team_id: team,
  });
  await call('POST', '/api/v1/skills/associations/environment/staging/skills', {
    skill_id: all,
    configuration_override: { timeout: 1 },
  });
  await call('POST', `/api/v1/skills/associations/agent/${agent}/skills`, {
    skill_id: all,
    configuration_override: { timeout: 3 },
  });
  const resolved = await call('GET', '/api/v1/skills/associations/agents/heir/skills/resolved');
  expect(resolved.body).toMatchObject([
    { name: 'shell-environment', source: 'environment', inherited: true },
    { name: 'shell-all', source: 'environment', inherited: true, configuration: { timeout: 1 } },
    { name: 'shell-hall', source: 'environment', inherited: true },
    { name: 'shell-team', source: 'team', inherited: true },
    { name: 'shell-agent', source: 'agent', inherited: false },
  ]);
  expect(resolved.body).toHaveLength(5);
});
