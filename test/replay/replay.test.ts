// Every recorded history, finished and unfinished, replays with today's workflow: a running execution survives an upgrade.
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { bundleWorkflows } from '../../scripts/bundle-workflows.ts';
import { root } from '../../scripts/generate.ts';
import { createPayloadSignatureCodec } from '../../src/lib/payload-signature.ts';
import { agentWorkflowType } from '../../src/protocol/workflow.ts';
import { fixtureSigningKey, historiesDirectory } from './fixtures.ts';

type History = ReturnType<typeof historyFromJSON>;

Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
const workflowBundle = { code: readFileSync(await bundleWorkflows(root, join(root, '.cache/workflows')), 'utf8') };
const names = readdirSync(historiesDirectory).filter((name) => name.endsWith('.json'));
const load = (name: string): { events: { eventType: string; [key: string]: unknown }[] } =>
  JSON.parse(readFileSync(join(historiesDirectory, name), 'utf8')) as ReturnType<typeof load>;

const replay = (history: History): Promise<void> =>
  Worker.runReplayHistory(
    { workflowBundle, dataConverter: { payloadCodecs: [createPayloadSignatureCodec(fixtureSigningKey)] } },
    history,
  );

test('there is a history of every kind of end, and of executions that still run', () => {
  const kinds = `
    completed failed cancelled waiting paused conversation conversation-open
    approval-given approval-refused approval-expired approval-open approval-cancelled slept sleep-open
    limit-turns limit-time limit-time-tool repaired executed moved continuing continuing-earlier`;
  for (const kind of kinds.trim().split(/\s+/)) {
    expect(names.filter((name) => name.endsWith(`-${kind}.json`))).not.toEqual([]);
  }
});

test('there is a finished and an unfinished history of every other workflow', () => {
  for (const workflow of ['team', 'member', 'dynamic', 'scheduled']) {
    for (const kind of ['completed', 'running']) {
      expect(names.filter((name) => name.endsWith(`-${workflow}-${kind}.json`))).not.toEqual([]);
    }
  }
});

test.each(names)(
  '%s replays',
  async (name) => {
    const history = load(name);
    expect(JSON.stringify(history)).toContain(agentWorkflowType);
    await replay(historyFromJSON(history));
  },
  30_000,
);

test('a history that this workflow cannot have written is refused', async () => {
  const name = 'v1-completed.json';
  const text = JSON.stringify(load(name)).replaceAll('"callTool"', '"callAnother"');
  let message = '';
  await replay(historyFromJSON(JSON.parse(text))).catch((error: unknown) => (message = String(error)));
  expect(message).toContain('Nondeterminism');
}, 30_000);
