// What the tests of `kubiya exec` share: scripted control planes that end with their test, and one whole conversation.
import { afterEach } from 'bun:test';
import {
  chunk,
  type ControlPlaneScript,
  done,
  executionId,
  type ScriptedControlPlane,
  startScriptedControlPlane,
  workerEvent,
} from '../support/scripted-control-plane.ts';
import { against, type CliOptions, runCli } from './run-cli.ts';

const planes: ScriptedControlPlane[] = [];
afterEach(async () => {
  await Promise.all(planes.splice(0).map((plane) => plane.stop()));
});

export async function start(script: ControlPlaneScript = {}): Promise<ScriptedControlPlane> {
  const plane = await startScriptedControlPlane(script);
  planes.push(plane);
  return plane;
}

export async function exec(plane: ScriptedControlPlane, words: readonly string[], options: CliOptions = {}) {
  const isPlanned = !/^(agent|team|attach)$/.test(words[0] ?? '') && !words.includes('--plan-only');
  const confirmed = isPlanned && !words.includes('--yes') ? [...words, '--yes'] : words;
  return await runCli(['exec', ...confirmed], {
    ...options,
    environment: { ...against(plane), ...options.environment },
  });
}

export const tool = { tool_name: 'run_shell_command', tool_execution_id: 't1', message_id: 'm1' };
export const conversation = [
  { event: 'message', data: { role: 'user', content: 'do it', message_id: 'u1' } },
  {
    event: 'history_complete',
    data: { execution_id: executionId, message_count: 1, is_truncated: false, has_more: false },
  },
  { event: 'status', data: { status: 'running', execution_id: executionId } },
  workerEvent('thinking_delta', { message_id: 'm1', index: 0, thinking: 'I should look first' }),
  workerEvent('thinking_complete', { message_id: 'm1', index: 0 }),
  chunk('Let me '),
  chunk('look.'),
  workerEvent('message', { role: 'assistant', content: 'Let me look.', message_id: 'm1' }),
  workerEvent('tool_started', { ...tool, tool_arguments: { command: 'ls' } }),
  workerEvent('tool_completed', {
    ...tool,
    status: 'success',
    outcome: 'success',
    tool_output: 'a\nb\n',
    duration_ms: 42,
  }),
  chunk('Two files.', 'm2'),
  workerEvent('message', { role: 'assistant', content: 'Two files.', message_id: 'm2' }),
  done('completed'),
];
export const final = { response: 'Two files.', usage: { input_tokens: 1234, output_tokens: 56 } };
