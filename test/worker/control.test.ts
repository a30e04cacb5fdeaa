// Steering a running execution: messages, pause, done, cancel, streams that reconnect, and secrets that must not come out.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { createPayloadSignatureCodec } from '../../src/lib/payload-signature.ts';
import { agentWorkflowId, signalNames } from '../../src/protocol/workflow.ts';
import { connectTemporal } from '../support/temporal-history.ts';
import { until } from '../support/until.ts';
import { readJournals } from '../support/worker-process.ts';
import { type Lab, queueName, startLab } from './lab.ts';
import { type Scenario, type ScenarioReply, type Scenarios, startScenarios } from './scenarios.ts';

const key = 'sk-openai-0123456789abcdefABCDEF';
let lab: Lab;
let models: Scenarios;
beforeAll(async () => {
  models = await startScenarios('openai');
  lab = await startLab({ OPENAI_BASE_URL: models.url, OPENAI_API_KEY: key });
}, 90_000);
afterAll(async () => {
  await lab.stop();
  await models.stop();
}, 60_000);

const shell = (command: string) => ({ name: 'run_shell_command', arguments: { command } });
const post = (id: string, action: string, body: unknown = {}) =>
  lab.server.request('POST', `/api/v1/executions/${id}/${action}`, body);

/** Starts a scripted conversation by the API, so that the test steers it. */
async function begin(
  replies: readonly ScenarioReply[],
  body: Readonly<Record<string, unknown>> = {},
  agent = 'default',
): Promise<{ id: string; scenario: Scenario }> {
  const scenario = models.add(replies);
  const request = { prompt: scenario.tag, worker_queue_id: queueName, model_id: 'openai/x', ...body };
  const answer = await lab.server.request('POST', `/api/v1/agents/${agent}/execute`, request);
  return { id: (answer as { execution_id: string }).execution_id, scenario };
}

const contentsOf = (scenario: Scenario, index: number): string[] =>
  ((scenario.requests[index]?.body['messages'] ?? []) as { role: string; content: string }[]).map(
    ({ role, content }) => `${role}: ${content}`,
  );
const statusIs = (id: string, status: string) =>
  until(async () => (await lab.server.execution(id)).status === status, { what: () => `${id} is ${status}` });
/** A path that tells a test that a tool has come so far, and one that lets the tool go on. */
const gate = (name: string) => join(lab.home.directory, name);

describe('messages', () => {
  test('sent while a tool runs reach the model after the result, in order, once per message id', async () => {
    const [reached, open] = [gate('reached'), gate('open')];
    const { id, scenario } = await begin([
      { type: 'calls', calls: [shell(`touch ${reached}; until [ -e ${open} ]; do sleep 0.05; done; echo opened`)] },
      { type: 'text', text: 'Noted.' },
    ]);
    await until(() => existsSync(reached));
    for (const [message_id, message] of [
      ['m-1', 'first remark'],
      ['m-1', 'first remark'],
      ['m-2', 'second remark'],
    ]) {
      await post(id, 'message', { message_id, message });
    }
    writeFileSync(open, '');
    expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'Noted.' });
    const contents = contentsOf(scenario, 1);
    expect(contents.slice(-3)).toEqual([
      expect.stringMatching(/^tool: .*opened/s),
      'user: first remark',
      'user: second remark',
    ]);
    const said = (await lab.server.events(id)).filter(({ data }) => data['content'] === 'first remark');
    expect(said).toHaveLength(1);
  });

  test('a paused execution finishes its call, asks nothing, and goes on when it is resumed', async () => {
    const [reached, open] = [gate('pause-reached'), gate('pause-open')];
    const { id, scenario } = await begin([
      { type: 'calls', calls: [shell(`touch ${reached}; until [ -e ${open} ]; do sleep 0.05; done`)] },
      { type: 'text', text: 'Resumed.' },
    ]);
    await until(() => existsSync(reached));
    await post(id, 'pause');
    writeFileSync(open, '');
    await statusIs(id, 'paused');
    await new Promise((done) => setTimeout(done, 500));
    expect(scenario.requests).toHaveLength(1);
    await post(id, 'resume');
    expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'Resumed.' });
  });

  test('a conversation waits for input, answers each message, and ends when it is marked as done', async () => {
    const { id, scenario } = await begin(
      [
        { type: 'text', text: 'Hello.' },
        { type: 'text', text: 'Fine.' },
      ],
      { is_conversation: true, execution_mode: 'chat' },
    );
    await statusIs(id, 'waiting_for_input');
    await post(id, 'message', { message: 'How are you?' });
    await until(() => scenario.requests.length === 2);
    await statusIs(id, 'waiting_for_input');
    expect(contentsOf(scenario, 1).slice(-2)).toEqual(['assistant: Hello.', 'user: How are you?']);
    await post(id, 'mark-done');
    expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'Fine.' });
  });
});

test('a pause that comes with the last answer is over when it is resumed: the conversation waits for input again', async () => {
  const { id, scenario } = await begin([{ type: 'text', text: 'a b c d e f', chunks: 10, delayMs: 100 }], {
    is_conversation: true,
  });
  await until(() => scenario.requests.length === 1);
  await post(id, 'pause');
  await statusIs(id, 'paused');
  await post(id, 'resume');
  await statusIs(id, 'waiting_for_input');
  await post(id, 'pause');
  await statusIs(id, 'paused');
  await post(id, 'mark-done');
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'a b c d e f' });
});

test('messages without an id that come at once all reach the model', async () => {
  const [reached, open] = [gate('unnamed-reached'), gate('unnamed-open')];
  const { id, scenario } = await begin([
    { type: 'calls', calls: [shell(`touch ${reached}; until [ -e ${open} ]; do sleep 0.05; done`)] },
    { type: 'text', text: 'Noted.' },
  ]);
  await until(() => existsSync(reached));
  const signingKey = Buffer.from(readFileSync(join(lab.home.kubiyaHome, 'local/signing-key'), 'utf8').trim(), 'base64');
  const temporal = await connectTemporal(lab.server.temporalAddress);
  const codec = createPayloadSignatureCodec(signingKey);
  const client = new Client({ connection: temporal.client.connection, dataConverter: { payloadCodecs: [codec] } });
  const handle = client.workflow.getHandle(agentWorkflowId(id));
  const remarks = Array.from({ length: 12 }, (_, index) => `remark ${index}`);
  await Promise.all(remarks.map((content) => handle.signal(signalNames.addMessage, { role: 'user', content })));
  writeFileSync(open, '');
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed' });
  expect(contentsOf(scenario, 1).slice(-remarks.length).toSorted()).toEqual(
    remarks.map((text) => `user: ${text}`).toSorted(),
  );
  await temporal.close();
});

test('a directory that is no path ends the execution with a sentence', async () => {
  const { id } = await begin([], { execution_environment: { working_dir: '/tmp/\0here' } });
  expect(await lab.server.ended(id, 10_000)).toMatchObject({
    status: 'failed',
    error_message: expect.stringContaining('does not exist'),
  });
});

test('an output that an event cuts is never cut inside a character', async () => {
  const { id } = await begin([
    { type: 'calls', calls: [shell("printf a; yes '😀' | head -n 6000 | tr -d '\\n'")] },
    { type: 'text', text: 'Done.' },
  ]);
  await lab.server.ended(id, 30_000);
  const completed = (await lab.server.events(id)).find(({ event_type: type }) => type === 'tool_completed');
  const output = String(completed?.data['tool_output']);
  expect(output).toHaveLength(10_000);
  expect(output.isWellFormed()).toBe(true);
});

test('a long execution continues as new and loses neither a call nor a message', async () => {
  const lines = gate('long-lines');
  const turnCount = 24;
  const fill = "head -c 95000 /dev/zero | tr '\\0' x";
  const { id, scenario } = await begin([
    ...Array.from({ length: turnCount }, (_, turn): ScenarioReply => ({
      type: 'calls',
      calls: [shell(`echo ${turn} >> ${lines}; ${fill}`)],
    })),
    { type: 'text', text: 'All done.' },
  ]);
  for (let index = 0; index < 8; index++) {
    await until(() => scenario.requests.length > index * 3, { limitMs: 30_000 });
    await post(id, 'message', { message: `remark ${index}`, message_id: `long-${index}` });
    await post(id, index % 2 === 0 ? 'pause' : 'resume');
    await post(id, 'resume');
  }
  expect(await lab.server.ended(id, 60_000)).toMatchObject({ status: 'completed', response: 'All done.' });
  expect(readFileSync(lines, 'utf8').trim().split('\n')).toEqual(
    Array.from({ length: turnCount }, (_, turn) => `${turn}`),
  );
  const told = scenario.requests.flatMap((_, index) => contentsOf(scenario, index));
  for (let index = 0; index < 8; index++) expect(told).toContain(`user: remark ${index}`);
  const temporal = await connectTemporal(lab.server.temporalAddress);
  const description = await temporal.client.workflow.getHandle(agentWorkflowId(id)).describe();
  const firstRun = description.raw.workflowExecutionInfo?.firstRunId;
  expect(description.runId).not.toBe(String(firstRun));
  await temporal.close();
}, 90_000);

describe('cancel', () => {
  test('of a model call that hangs makes the execution cancelled, not failed', async () => {
    const { id, scenario } = await begin([{ type: 'text', text: 'Wait for it', chunks: 10, hangAfterBytes: 900 }]);
    await until(() => scenario.requests.length === 1);
    await post(id, 'cancel');
    expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'cancelled' });
  });

  test('of more calls than the worker has slots ends all those that run', async () => {
    const marker = `5${Math.floor(Math.random() * 1e8)}`;
    const skill = { name: 'reading', type: 'shell', configuration: { variant: 'read_only' } };
    const { id: skillId } = (await lab.server.request('POST', '/api/v1/skills', skill)) as { id: string };
    await lab.server.request('POST', '/api/v1/agents', { name: 'reader', skill_ids: [skillId] });
    const calls = Array.from({ length: 14 }, () => shell(`sleep ${marker}`));
    const { id } = await begin([{ type: 'calls', calls }], {}, 'reader');
    await until(() => processesWith(marker).length >= 8, { what: () => `${processesWith(marker).length} run` });
    await post(id, 'cancel');
    expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'cancelled' });
    await until(() => processesWith(marker).length === 0, { limitMs: 5_000 });
  });

  test('reaches the running tool and ends its process group, and a grandchild that left the group', async () => {
    const marker = `4${Math.floor(Math.random() * 1e8)}`;
    const reached = gate('cancel-reached');
    const command = `setsid sleep ${marker} & sleep ${marker} & touch ${reached}; wait; sleep ${marker}`;
    const { id, scenario } = await begin([{ type: 'calls', calls: [shell(command)] }]);
    await until(() => existsSync(reached));
    await until(() => processesWith(marker).length === 2);
    await post(id, 'cancel');
    expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'cancelled' });
    await until(() => processesWith(marker).length === 0, { limitMs: 5_000 });
    expect(scenario.requests).toHaveLength(1);
    const completed = (await lab.server.events(id)).filter(({ event_type: type }) => type === 'tool_completed');
    expect(completed.map(({ data }) => data['outcome'])).toEqual(['cancelled']);
  });
});

describe('the stream', () => {
  test('gives every event once and in order to a reader that keeps reconnecting', async () => {
    const { id } = await begin([
      { type: 'calls', calls: [shell('for i in $(seq 1 40); do echo line $i; sleep 0.05; done')] },
      { type: 'text', text: 'a b c d e f g h', chunks: 15, delayMs: 60 },
    ]);
    const seen: { id: string; type: string }[] = [];
    let connections = 0;
    while (seen.at(-1)?.type !== 'done' && connections < 200) {
      connections += 1;
      await readStream(id, seen, 300);
    }
    expect(connections).toBeGreaterThan(4);
    const own = seen.filter(({ id: eventId }) => eventId !== '');
    expect(new Set(own.map(({ id: eventId }) => eventId)).size).toBe(own.length);
    const stored = await lab.server.events(id);
    const storedTypes = stored.map(({ event_type: type }) => type);
    const seenTypes = own.map(({ type }) => type).filter((type) => storedTypes.includes(type));
    expect(seenTypes).toEqual(storedTypes);
  });
});

/** Reads for so long, from where `seen` ends, and hangs up. */
async function readStream(id: string, seen: { id: string; type: string }[], forMs: number): Promise<void> {
  const last = seen.findLast((event) => event.id !== '')?.id;
  const response = await fetch(`${lab.server.url}/api/v1/executions/${id}/stream`, {
    headers: { authorization: `Bearer ${lab.server.token}`, ...(last === undefined ? {} : { 'last-event-id': last }) },
    signal: AbortSignal.timeout(forMs),
  });
  let rest = '';
  try {
    for await (const chunk of response.body ?? []) {
      rest += new TextDecoder().decode(chunk, { stream: true });
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(block)?.[1] ?? '';
        if (/^data:/m.test(block)) seen.push({ id: field('id'), type: field('event') });
      }
    }
  } catch {
    // Hung up in the middle.
  }
}

describe('secrets', () => {
  test('a tool has none in its environment, and a file with the key comes out redacted everywhere', async () => {
    const leak = gate('leak.env');
    writeFileSync(leak, `OPENAI_API_KEY=${key}\n`);
    const { id, scenario } = await begin([
      { type: 'calls', calls: [shell('env; echo "[$OPENAI_API_KEY][$KUBIYA_API_KEY]"')] },
      { type: 'calls', calls: [shell(`cat ${leak}; head -c 20 ${leak}; sleep 0.1; tail -c +21 ${leak}`)] },
      { type: 'calls', calls: [{ name: 'read_file', arguments: { file_name: leak } }] },
      { type: 'text', text: `The key is ${key}, is it not?`, chunks: 12 },
    ]);
    const execution = await lab.server.ended(id, 30_000);
    expect(execution.status).toBe('completed');
    expect(execution.response).toMatch(/^The key is \S*redacted/i);
    const first = contentsOf(scenario, 1).at(-1) ?? '';
    expect(first).toContain('[][]');
    expect(first).not.toMatch(/OPENAI_|KUBIYA_HOME|BUN_/);
    const second = contentsOf(scenario, 2).at(-1) ?? '';
    expect(second).toMatch(/OPENAI_API_KEY=\S*redacted/i);
    const session = await lab.server.request('GET', `/api/v1/executions/${id}/session`);
    const attached = await lab.run(['exec', 'attach', id, '--full-output']);
    const json = await lab.run(['exec', 'attach', id, '--stream-format', 'json']);
    const places: Record<string, string> = {
      'later requests to the model': JSON.stringify(scenario.requests.map(({ body }) => body)),
      events: JSON.stringify(await lab.server.events(id)),
      session: JSON.stringify(session),
      execution: JSON.stringify(execution),
      terminal: attached.stdout + attached.stderr + json.stdout,
      'log of the worker': readFileSync(join(lab.worker.directory, 'logs/worker.log'), 'utf8'),
      journal: JSON.stringify([...readJournals(lab.worker.journalDirectory)]),
      'files of the server': readdirSync(join(lab.home.kubiyaHome, 'local'))
        .map((name) => readFileSync(join(lab.home.kubiyaHome, 'local', name), 'latin1'))
        .join('\n'),
    };
    const secret = key.slice(4);
    const leaking = Object.entries(places).filter(([, text]) => text.includes(secret));
    expect(leaking.map(([place]) => place)).toEqual([]);
  });
});

function processesWith(word: string): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').includes(word);
    } catch {
      return false; // it ended while we looked
    }
  });
}
