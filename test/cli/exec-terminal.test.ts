// `kubiya exec` on a terminal of 80 columns: plans that are asked about, approvals that are answered, here or elsewhere.
import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  chunk,
  type ControlPlaneScript,
  done,
  executionId,
  type ScriptedControlPlane,
  workerEvent,
} from '../support/scripted-control-plane.ts';
import { against, until } from './run-cli.ts';
import { exec, start } from './scripted-exec.ts';

const entry = resolve(import.meta.dirname, '../../src/main.ts');

interface Typed {
  readonly screen: () => string;
  readonly type: (keys: string) => void;
  /** Closes the terminal, as a window is closed or a connection lost. */
  readonly hangUp: () => void;
}

/** Runs the command on a terminal of its own, with somebody in front of it. */
async function onTerminal(
  plane: ScriptedControlPlane,
  words: readonly string[],
  person: (typed: Typed) => Promise<void>,
) {
  const home = mkdtempSync(join(tmpdir(), 'kubiya-terminal-'));
  let screen = '';
  const child = Bun.spawn(['bun', entry, 'exec', ...words], {
    cwd: home,
    env: { PATH: process.env['PATH'] ?? '', HOME: home, TERM: 'xterm-256color', NO_COLOR: '1', ...against(plane) },
    terminal: { cols: 80, rows: 40, data: (_terminal, data) => void (screen += Buffer.from(data).toString()) },
  });
  try {
    await person({
      screen: () => screen,
      type: (keys) => void child.terminal?.write(keys),
      hangUp: () => child.terminal?.close(),
    });
    return { code: await child.exited, screen };
  } finally {
    child.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  }
}

const approval = { approval_id: 'ap-1', tool_execution_id: 't1' };
const requested = workerEvent('approval_requested', {
  ...approval,
  title: 'Deploy to production\u001b[2J',
  message: 'helm upgrade checkout\n3 pods',
  expires_at: '2026-11-24T12:00:00.000Z',
});
const resolved = (status: string) => workerEvent('approval_resolved', { ...approval, status, resolved_by: 'ada' });
const denied = workerEvent('error', {
  error: 'the deployment was not approved',
  error_type: 'denied',
  retryable: false,
});
const settles: ControlPlaneScript['override'] = ({ method, path }) =>
  method === 'POST' && /approvals\/ap-1\/(approve|reject)$/.test(path)
    ? { status: 200, body: { id: 'ap-1', status: 'approved' } }
    : undefined;

describe('an approval', () => {
  test.each([
    ['y', 'approve', [resolved('approved'), chunk('done'), done('completed')], {}, 0],
    [
      'n',
      'reject',
      [resolved('rejected'), denied, done('failed')],
      { status: 'failed', error_message: 'the deployment was not approved' },
      8,
    ],
  ] as const)('is shown and answered with %s', async (key, verb, rest, final, code) => {
    const plane = await start({
      steps: [requested, { type: 'wait', for: 'release' }, ...rest],
      final,
      override: settles,
    });
    const result = await onTerminal(plane, ['agent', 'default', 'x'], async ({ screen, type }) => {
      await until(() => screen().includes('Approve it?'));
      type(key);
      await until(() => plane.requestsTo('POST', /approvals/).length > 0);
      plane.release();
    });
    expect(plane.requestsTo('POST', /approvals/).map(({ path }) => path)).toEqual([`/api/v1/approvals/ap-1/${verb}`]);
    expect(result.screen).toContain('approval needed: Deploy to production');
    expect(result.screen).toContain('  | helm upgrade checkout');
    expect(result.screen).not.toContain('\u001b[2J');
    expect(result.screen).toContain(verb === 'approve' ? 'approved by ada' : 'denied by ada');
    expect(result.code).toBe(code);
  });

  test('that is settled elsewhere takes its question away', async () => {
    const plane = await start({
      steps: [requested, { type: 'wait', for: 'release' }, resolved('approved'), chunk('done'), done('completed')],
      override: settles,
    });
    const result = await onTerminal(plane, ['agent', 'default', 'x'], async ({ screen }) => {
      await until(() => screen().includes('Approve it?'));
      plane.release();
    });
    expect(result).toMatchObject({ code: 0, screen: expect.stringContaining('approved by ada') });
    expect(plane.requestsTo('POST', /approvals/)).toEqual([]);
  });

  test('and Ctrl+C at the question cancels the execution', async () => {
    const plane = await start({
      steps: [requested, { type: 'wait', for: 'cancel' }, done('cancelled')],
      final: { status: 'cancelled' },
    });
    const result = await onTerminal(plane, ['agent', 'default', 'x'], async ({ screen, type }) => {
      await until(() => screen().includes('Approve it?'));
      type('\u0003');
    });
    expect(result.code).toBe(130);
    expect(plane.requestsTo('POST', /cancel$/)).toHaveLength(1);
  });
});

describe('a terminal that is gone', () => {
  const waiting = { event: 'status', data: { status: 'waiting_for_input', execution_id: executionId } };

  test.each([
    ['an approval', [], requested, 'Approve it?'],
    ['the next message', ['--conversation'], waiting, 'Next message'],
  ] as const)('ends the question for %s, and its execution', async (_what, words, asking, question) => {
    const plane = await start({
      steps: [asking, { type: 'wait', for: 'cancel' }, done('cancelled')],
      final: { status: 'cancelled' },
    });
    const { code } = await onTerminal(plane, ['agent', 'default', ...words, 'x'], async ({ screen, hangUp }) => {
      await until(() => screen().includes(question));
      hangUp();
    });
    expect(code).toBe(130);
    expect(plane.requestsTo('POST', /cancel$/)).toHaveLength(1);
  });
});

describe('a conversation', () => {
  const waiting = { event: 'status', data: { status: 'waiting_for_input', execution_id: executionId } };

  test('asks for the next message until there is none', async () => {
    const plane = await start({
      steps: [
        chunk('the first answer'),
        waiting,
        { type: 'wait', for: 'release' },
        chunk('the second answer'),
        waiting,
        { type: 'wait', for: 'mark-done' },
        done('completed'),
      ],
      override: ({ path }) => (path.endsWith('/message') ? { status: 202, body: { success: true } } : undefined),
    });
    const result = await onTerminal(plane, ['agent', 'default', '--conversation', 'x'], async ({ screen, type }) => {
      await until(() => screen().includes('Next message'));
      type('and the tests?\r');
      await until(() => plane.requestsTo('POST', /message$/).length > 0);
      plane.release();
      await until(() => /the second answer[^]*Next message/.test(screen()));
      type('\r');
    });
    expect(result.code).toBe(0);
    expect(plane.requestsTo('POST', /execute$/).map(({ body }) => body)).toEqual([
      expect.objectContaining({ is_conversation: true }),
    ]);
    expect(plane.requestsTo('POST', /message$/).map(({ body }) => body)).toEqual([{ message: 'and the tests?' }]);
  });

  test('is refused where nobody can be asked', async () => {
    const plane = await start({ steps: [done('completed')] });
    const result = await exec(plane, ['agent', 'default', '--conversation', 'x']);
    expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('add --detach') });
    expect(plane.requestsTo('POST', /execute$/)).toEqual([]);
  });
});

describe('a plan', () => {
  const agents = [
    { id: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'default' },
    { id: 'aaaaaaaa-0000-4000-8000-000000000002', name: 'deployer', description: 'rolls out services' },
  ];
  const plan = {
    title: 'Roll out \u001b]0;owned\u0007checkout',
    summary:
      'Upgrades the chart and watches the pods until all of them are ready, then reports what has changed since.',
    recommended_execution: {
      entity_type: 'agent',
      entity_id: agents[1]?.id,
      entity_name: 'deployer',
      reasoning: 'it knows helm',
    },
    team_breakdown: [{ agent_name: 'deployer', tasks: [{ title: 'helm upgrade', description: 'with --atomic' }] }],
    risks: ['a moment of downtime'],
    questions: ['Which cluster?'],
  };
  const frame = (data: Record<string, unknown>) => `event: ${String(data['type'])}\ndata: ${JSON.stringify(data)}\n\n`;
  const planeOf = () => {
    let asked = 0;
    return start({
      agents,
      steps: [chunk('rolled out'), done('completed')],
      override: ({ path }) => {
        if (path !== '/api/v1/tasks/plan/stream') return undefined;
        asked += 1;
        const final = asked === 1 ? plan : { ...plan, questions: [] };
        const body =
          frame({ type: 'progress', message: 'Thinking', progress: 5 }) + frame({ type: 'complete', plan: final });
        return { status: 200, headers: { 'content-type': 'text/event-stream' }, body };
      },
    });
  };

  test('asks its question, is shown within 80 columns, and runs the words of the person', async () => {
    const plane = await planeOf();
    const result = await onTerminal(plane, ['deploy checkout'], async ({ screen, type }) => {
      await until(() => screen().includes('Which cluster?'));
      type('staging\r');
      await until(() => screen().includes('Run it?'));
      type('y');
    });
    expect(result.code).toBe(0);
    const [first, second] = plane.requestsTo('POST', '/api/v1/tasks/plan/stream');
    expect(first?.body).toMatchObject({ description: 'deploy checkout', quick_mode: false });
    expect(second?.body).toMatchObject({
      conversation_context: 'Question: Which cluster?\nAnswer: staging',
      iteration: 2,
    });
    const [started] = plane.requestsTo('POST', `/api/v1/agents/${agents[1]?.id}/execute`);
    expect(started?.body).toMatchObject({ prompt: 'deploy checkout\n\nQuestion: Which cluster?\nAnswer: staging' });
    const shown = result.screen.slice(result.screen.indexOf('Plan: '), result.screen.indexOf('Run it?'));
    expect(shown).toContain('because    it knows helm');
    expect(shown).toContain('steps      1. helm upgrade: with --atomic');
    expect(shown).not.toContain('owned');
    const lines = shown.split(/\r?\n/).filter((line) => !line.includes('\u001b'));
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
  });

  test('that is declined starts nothing and exits 8', async () => {
    const plane = await planeOf();
    const result = await onTerminal(plane, ['deploy checkout'], async ({ screen, type }) => {
      await until(() => screen().includes('Which cluster?'));
      type('\r');
      await until(() => screen().includes('Run it?'));
      type('n');
    });
    expect(result.code).toBe(8);
    expect(plane.requestsTo('POST', /execute$/)).toEqual([]);
  });

  test('starts nothing when its terminal is closed', async () => {
    const plane = await planeOf();
    const result = await onTerminal(plane, ['deploy checkout'], async ({ screen, hangUp }) => {
      await until(() => screen().includes('Which cluster?'));
      hangUp();
    });
    expect(result.code).toBe(130);
    expect(plane.requestsTo('POST', /execute$/)).toEqual([]);
  });

  test('is left with Ctrl+C while it is made', async () => {
    const plane = await start({
      agents,
      override: ({ path }) =>
        path === '/api/v1/tasks/plan/stream'
          ? new Promise<undefined>((done) => setTimeout(done, 20_000, undefined))
          : undefined,
    });
    const result = await onTerminal(plane, ['deploy checkout'], async ({ screen, type }) => {
      await until(() => screen().includes('Planning'));
      type('\u0003');
    });
    expect(result.code).toBe(130);
    expect(plane.requestsTo('POST', /execute$/)).toEqual([]);
  });
});

test('Ctrl+C at the question for a model is an interrupt', async () => {
  const code = `
    import { KubiyaError } from '${resolve(import.meta.dirname, '../../src/errors.ts')}';
    import { chooseModel } from '${resolve(import.meta.dirname, '../../src/cli/exec/choose-model.ts')}';
    const missing = new KubiyaError('none', { kind: 'configuration', code: 'no_provider' });
    const output = { isInteractive: true, questions: process.stdout };
    await chooseModel(missing, { isNonInteractive: false }, { output, signal: new AbortController().signal }).catch((error) => console.log('kind:', error.kind));`;
  let screen = '';
  const child = Bun.spawn(['bun', '-e', code], {
    terminal: { cols: 80, rows: 40, data: (_terminal, data) => void (screen += Buffer.from(data).toString()) },
  });
  await until(() => screen.includes('Which model'));
  child.terminal?.write('\u0003');
  await child.exited;
  expect(screen).toContain('kind: interrupted');
});
