// Records what an agent's loop does beside models and tools: `bun test/replay/record-agent.ts v2`, never over an old file.
// The histories that continue as new stay small with `limit.historySize.suggestContinueAsNew=40000` among the dev server's values.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { agentWorkflowId } from '../../src/protocol/workflow.ts';
import { createHome } from '../support/binary.ts';
import { startLocalServer } from '../support/local-server.ts';
import type { ScriptedReply } from '../support/model-servers.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { startScenarios } from '../worker/scenarios.ts';
import { fixtureSigningKey, historiesDirectory } from './fixtures.ts';

const version = process.argv[2] ?? 'v2';
const only = process.argv[3];
const limitMs = 30_000;
const queue = 'recorded';
const home = createHome();
mkdirSync(join(home.kubiyaHome, 'local'), { recursive: true, mode: 0o700 });
writeFileSync(join(home.kubiyaHome, 'local/signing-key'), Buffer.from(fixtureSigningKey).toString('base64'), {
  mode: 0o600,
});
const models = await startScenarios('openai');
const server = await startLocalServer({ home });
const environment = { OPENAI_BASE_URL: models.url, OPENAI_API_KEY: 'sk-scripted' };
const worker = await startWorkerProcess({ home, queue, environment });

const call = (name: string, given: Record<string, unknown>): ScriptedReply => ({
  type: 'calls',
  calls: [{ name, arguments: given }],
});
const asks = (more: Record<string, unknown> = {}): ScriptedReply =>
  call('wait_for_approval', { title: 'yes?', ...more });
const says = (text: string): ScriptedReply => ({ type: 'text', text });
const schema = { type: 'object', required: ['n'] };

const recordings: Record<string, () => Promise<string>> = {
  conversation: async () => {
    const id = await start([says('one'), says('two')], { is_conversation: true });
    await status(id, 'waiting_for_input');
    await post(id, 'message', { message: 'more' });
    await count(id, 'message', 4);
    await status(id, 'waiting_for_input');
    await post(id, 'mark-done');
    return ended(id);
  },
  'conversation-open': async () => {
    const id = await start([says('one')], { is_conversation: true });
    await status(id, 'waiting_for_input');
    return id;
  },
  'approval-given': async () => {
    const id = await start([asks(), says('done')]);
    await settle(id, 'approve');
    return ended(id);
  },
  'approval-refused': async () => {
    const id = await start([asks(), says('not done')]);
    await settle(id, 'reject');
    return ended(id);
  },
  'approval-expired': async () => ended(await start([asks({ timeout_minutes: 0.01 }), says('too late')])),
  'approval-open': async () => {
    const id = await start([asks(), says('never')]);
    await count(id, 'approval_requested', 1);
    return id;
  },
  'approval-cancelled': async () => {
    const id = await start([asks(), says('never')]);
    await count(id, 'approval_requested', 1);
    await post(id, 'cancel');
    return ended(id);
  },
  slept: async () => ended(await start([call('sleep', { seconds: 0.5 }), says('awake')])),
  'sleep-open': async () => {
    const id = await start([call('sleep', { seconds: 600 }), says('never')]);
    await count(id, 'tool_started', 1);
    return id;
  },
  'limit-turns': async () => ended(await start([call('sleep', { seconds: 0.1 })], { limits: { turns: 1 } })),
  'limit-time': async () => ended(await start([call('sleep', { seconds: 600 })], { limits: { wall_time_seconds: 1 } })),
  'limit-time-tool': async () =>
    ended(await start([call('run_shell_command', { command: 'sleep 60' })], { limits: { wall_time_seconds: 1 } })),
  repaired: async () => ended(await start([says('no'), says('{"n":1}')], { output_schema: schema })),
  executed: async () => {
    // The parent's scenario is the next one; its tag comes back with the child's answer, so that its next request names it last.
    const child = models.add([() => says(parent.tag)]);
    const parent = models.add([call('execute_agent', { agent_id: agentId, prompt: child.tag }), says('done')]);
    return ended(await begin(parent.tag));
  },
  // The first of its runs ends by continuing as new.
  continuing: async () => {
    const fill = call('run_shell_command', { command: "head -c 20000 /dev/zero | tr '\\0' x" });
    return ended(await start([fill, fill, fill, says('long')]));
  },
};

async function agent(): Promise<string> {
  const ids: string[] = [];
  for (const type of ['shell', 'sleep', 'agent_communication']) {
    const made = await server.request('POST', '/api/v1/skills', { name: `recorded-${type}`, type });
    ids.push((made as { id: string }).id);
  }
  const body = { name: 'recorded', skill_ids: ids, model_id: 'openai/x' };
  return ((await server.request('POST', '/api/v1/agents', body)) as { id: string }).id;
}

async function start(replies: readonly ScriptedReply[], more: Record<string, unknown> = {}): Promise<string> {
  return begin(models.add(replies).tag, more);
}

async function begin(prompt: string, more: Record<string, unknown> = {}): Promise<string> {
  const body = { prompt, worker_queue_id: queue, ...more };
  const answer = await server.request('POST', `/api/v1/agents/${agentId}/execute`, body);
  return (answer as { execution_id: string }).execution_id;
}

async function ended(id: string): Promise<string> {
  await server.ended(id, limitMs);
  return id;
}
const post = (id: string, verb: string, body?: unknown): Promise<unknown> =>
  server.request('POST', `/api/v1/executions/${id}/${verb}`, body);
const status = (id: string, wanted: string): Promise<void> =>
  until(async () => (await server.execution(id)).status === wanted, { limitMs, what: () => `status ${wanted}` });
const count = (id: string, type: string, least: number): Promise<void> =>
  until(async () => (await server.events(id)).filter(({ event_type }) => event_type === type).length >= least, {
    limitMs,
    what: () => `${least} ${type}`,
  });

async function settle(id: string, verb: 'approve' | 'reject'): Promise<void> {
  await count(id, 'approval_requested', 1);
  const [approval] = (await server.request('GET', `/api/v1/approvals?execution_id=${id}`)) as { id: string }[];
  await server.request('POST', `/api/v1/approvals/${approval?.id}/${verb}`, {});
}

function temporal(...words: readonly string[]): string {
  const cache = join(home.kubiyaHome, 'cache/temporal');
  const program = [...new Bun.Glob('temporal-*').scanSync(cache)].find((file) => !file.endsWith('.ok')) ?? '';
  return execFileSync(resolve(cache, program), [...words, '--address', server.temporalAddress, '--output', 'json'], {
    env: { HOME: home.directory },
    encoding: 'utf8',
  });
}

function write(name: string, history: string): void {
  const path = join(historiesDirectory, `${version}-${name}.json`);
  if (existsSync(path)) throw new Error(`${path} exists: a recorded history is never replaced, name a new version`);
  writeFileSync(path, history);
  console.log(path, history.length);
}

const agentId = await agent();
try {
  for (const [name, make] of Object.entries(recordings)) {
    if (only !== undefined && only !== name) continue;
    const workflowId = agentWorkflowId(await make());
    const last = temporal('workflow', 'show', '-w', workflowId);
    write(name, last);
    const earlier = /"continuedExecutionRunId":\s*"([^"]+)"/.exec(last)?.[1];
    if (earlier !== undefined) write(`${name}-earlier`, temporal('workflow', 'show', '-w', workflowId, '-r', earlier));
  }
} finally {
  await worker.process.end('SIGTERM');
  await server.stop();
  await models.stop().catch((error: unknown) => console.error(String(error)));
  home.remove();
}
