// Approvals against the real Temporal: asked for once, settled once, ended by the clock, and the workflow is told of each.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import * as v from 'valibot';
import { approvalSchema } from '../../src/protocol/approvals.ts';
import { agentWorkflowId } from '../../src/protocol/workflow.ts';
import type { DevServer } from '../../src/server/dev-server.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import { createTemporal, type Temporal } from '../../src/server/temporal.ts';
import {
  absentTemporal,
  callerOf,
  createTestClock,
  signingKey,
  startTestServer,
  startTestTemporal,
  waitFor,
  workflowHistory,
  type Call,
} from './support.ts';

const directory = mkdtempSync(join(tmpdir(), 'kubiya-approvals-'));
const clock = createTestClock();
let devServer: DevServer;
let temporal: Temporal;
let raw: Connection;
let server: ControlPlane;
let call: Call;

beforeAll(async () => {
  devServer = await startTestTemporal();
  temporal = createTemporal({ address: devServer.address, namespace: 'default', isLocal: true }, signingKey);
  raw = await Connection.connect({ address: devServer.address });
  server = await startTestServer(devServer.address, { clock });
  call = callerOf(server.url);
}, 60_000);
afterAll(async () => {
  await server.stop();
  await temporal.close();
  await raw.close();
  await devServer.stop();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const execute = async (caller: Call = call): Promise<string> =>
  String((await caller('POST', '/api/v1/agents/default/execute', { prompt: 'hello' })).body['execution_id']);
const deploy = { title: 'Deploy to production', message: 'version 3', context: { command: 'make deploy' } };
const open = async (executionId: string, body: Record<string, unknown> = {}) => {
  const answer = await call('POST', '/api/v1/approvals', { execution_id: executionId, ...deploy, ...body });
  expect(answer.status).toBe(201);
  return v.parse(approvalSchema, answer.body);
};
const signalsOf = async (id: string) => (await workflowHistory(raw, agentWorkflowId(id))).signals;
const settle = (id: string, verb: 'approve' | 'reject', body: unknown = {}) =>
  call('POST', `/api/v1/approvals/${id}/${verb}`, body);

test('an approval that is given reaches the workflow once, with who gave it', async () => {
  const id = await execute();
  const approval = await open(id, { call_id: `${id}:1:0` });
  expect(approval).toMatchObject({ status: 'pending', execution_id: id, ...deploy });
  expect(Date.parse(approval.expires_at ?? '') - clock.now()).toBeGreaterThan(1_439 * 60_000);
  const user = execFileSync('id', ['-un'], { encoding: 'utf8' }).trim();
  const settled = await settle(approval.id, 'approve', { reason: 'looks right' });
  expect(settled).toMatchObject({ status: 200, body: { status: 'approved', approved_by_name: user } });
  expect(settled.body['resolved_at']).toBeString();
  // The same verdict again changes nothing, the other one is refused.
  expect((await settle(approval.id, 'approve')).body).toEqual(settled.body);
  expect(await settle(approval.id, 'reject')).toMatchObject({ status: 409, body: { code: 'approval_approved' } });
  const value = {
    execution_id: id,
    approval_id: approval.id,
    status: 'approved',
    resolved_by: user,
    reason: 'looks right',
  };
  expect(await signalsOf(id)).toEqual([{ name: 'approval_response', value }]);
});

test('a refusal carries its reason', async () => {
  const id = await execute();
  const approval = await open(id);
  const { body } = await settle(approval.id, 'reject', { reason: 'not on a Friday' });
  expect(body).toMatchObject({ status: 'rejected', rejection_reason: 'not on a Friday' });
  expect((await signalsOf(id))[0]?.value).toMatchObject({ status: 'rejected', reason: 'not on a Friday' });
});

test('a call has one approval, for what was shown', async () => {
  const id = await execute();
  const first = await open(id, { call_id: 'call-1' });
  expect((await open(id, { call_id: 'call-1' })).id).toBe(first.id);
  await settle(first.id, 'approve');
  // Also after the verdict: a worker that was killed asks again and gets it.
  expect(await open(id, { call_id: 'call-1' })).toMatchObject({ id: first.id, status: 'approved' });
  const other = { execution_id: id, ...deploy, context: { command: 'rm -rf /' }, call_id: 'call-1' };
  const changed = await call('POST', '/api/v1/approvals', other);
  expect(changed).toMatchObject({ status: 409, body: { code: 'approval_changed', id: first.id } });
  expect((await open(id, { call_id: 'call-2' })).id).not.toBe(first.id);
  // The same call id of another execution is another call.
  expect((await open(await execute(), { call_id: 'call-1' })).id).not.toBe(first.id);
});

test('the clock of the server ends what nobody answers, and the workflow is told', async () => {
  const id = await execute();
  const approval = await open(id, { timeout_minutes: 10 });
  expect((await call('GET', `/api/v1/approvals/${approval.id}`)).body).toMatchObject({ status: 'pending' });
  clock.advance(11 * 60_000);
  expect((await call('GET', `/api/v1/approvals/${approval.id}`)).body).toMatchObject({
    status: 'expired',
    approved_by_name: null,
  });
  expect(await settle(approval.id, 'approve')).toMatchObject({ status: 409, body: { code: 'approval_expired' } });
  const signals = await waitFor(
    () => signalsOf(id),
    (found) => found.length > 0,
  );
  expect(signals).toEqual([
    {
      name: 'approval_response',
      value: { execution_id: id, approval_id: approval.id, status: 'expired', resolved_by: null, reason: null },
    },
  ]);
});

test('an execution that ends takes its approvals along', async () => {
  const id = await execute();
  const approval = await open(id);
  await call('PATCH', `/api/v1/executions/${id}`, { status: 'cancelled' });
  expect(await settle(approval.id, 'approve')).toMatchObject({ status: 409, body: { code: 'approval_expired' } });
  expect(await signalsOf(id)).toEqual([]);
  const late = await call('POST', '/api/v1/approvals', { execution_id: id, ...deploy });
  expect(late).toMatchObject({ status: 409, body: { code: 'execution_not_open' } });
});

test("a member's approval is listed with its team and told to the member", async () => {
  const team = { name: 'approvers', configuration: { member_ids: ['default'] } };
  expect((await call('POST', '/api/v1/teams', team)).status).toBe(201);
  const started = await call('POST', '/api/v1/teams/approvers/execute', { prompt: 'hello' });
  const id = String(started.body['execution_id']);
  const member = `${id}/member/2`;
  const workflowId = `${String(started.body['workflow_id'])}/member/2`;
  await temporal.start({ execution_id: member, team_id: 'any', organization_id: '', prompt: 'x' }, 'nobody');
  const approval = await open(id, { member_execution_id: member });
  const listed = (await call('GET', `/api/v1/approvals?execution_id=${encodeURIComponent(member)}&status=pending`))
    .body;
  expect(listed).toMatchObject([{ id: approval.id, member_execution_id: member }]);
  await settle(approval.id, 'approve');
  const { signals } = await workflowHistory(raw, workflowId);
  expect(signals).toMatchObject([{ name: 'approval_response', value: { execution_id: member, status: 'approved' } }]);
  const stranger = { execution_id: id, ...deploy, member_execution_id: `${await execute()}/member/1` };
  expect((await call('POST', '/api/v1/approvals', stranger)).status).toBe(404);
});

test('a verdict during an outage of Temporal is kept and told when it is back, also after a restart', async () => {
  const databasePath = join(directory, 'outage.sqlite');
  const before = await startTestServer(devServer.address, { databasePath });
  const asked = callerOf(before.url);
  const id = await execute(asked);
  const { body: approval } = await asked('POST', '/api/v1/approvals', { execution_id: id, ...deploy });
  await before.stop();
  const away = await startTestServer(absentTemporal, { databasePath });
  const settled = await callerOf(away.url)('POST', `/api/v1/approvals/${String(approval['id'])}/approve`, {});
  expect(settled).toMatchObject({ status: 200, body: { status: 'approved' } });
  await away.stop();
  expect(await signalsOf(id)).toEqual([]);
  const back = await startTestServer(devServer.address, { databasePath });
  const signals = await waitFor(
    () => signalsOf(id),
    (found) => found.length > 0,
  );
  expect(signals).toMatchObject([{ name: 'approval_response', value: { status: 'approved' } }]);
  await back.stop();
}, 40_000);

test.each([
  ['no title', { title: undefined }, 422],
  ['an empty title', { title: ' \n ' }, 422],
  ['a long title', { title: 'x'.repeat(501) }, 422],
  ['a timeout without end', { timeout_minutes: 1e9 }, 422],
  ['a negative timeout', { timeout_minutes: -1 }, 422],
  ['an execution that is not there', { execution_id: 'absent' }, 404],
])('%s is refused', async (_name, change, status) => {
  const body = { execution_id: 'absent', ...deploy, ...change };
  expect((await call('POST', '/api/v1/approvals', body)).status).toBe(status);
});

test('settling what is not there, or without a token, is refused', async () => {
  expect((await settle('absent', 'approve')).status).toBe(404);
  const id = await execute();
  const approval = await open(id);
  const answer = await fetch(`${server.url}/api/v1/approvals/${approval.id}/approve`, { method: 'POST' });
  expect(answer.status).toBe(401);
  expect(await settle(approval.id, 'approve', { reason: 'x'.repeat(2_001) })).toMatchObject({ status: 422 });
  expect((await call('GET', `/api/v1/approvals/${approval.id}`)).body).toMatchObject({ status: 'pending' });
});
