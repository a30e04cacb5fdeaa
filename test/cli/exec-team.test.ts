// A team's events on the screen and in the JSON stream, with members whose words come in pieces side by side.
import { expect, test } from 'bun:test';
import { chunk, done, workerEvent } from '../support/scripted-control-plane.ts';
import { exec, start } from './scripted-exec.ts';

const of = (name: string) => ({ member_name: name, parent_message_id: 'm1' });
const said = (name: string, content: string) =>
  workerEvent('member_message_chunk', { ...of(name), role: 'assistant', content, is_chunk: true, message_id: name });
const callOf = (name: string) => ({ ...of(name), tool_name: 'run_shell_command', tool_execution_id: `t-${name}` });
const steps = [
  chunk('I ask '),
  said('Ada', 'first '),
  said('Bob', 'one line\nand half'),
  workerEvent('member_thinking_delta', { ...of('Bob'), message_id: 'b', index: 0, thinking: 'hm' }),
  said('Ada', 'half'),
  workerEvent('member_tool_started', { ...callOf('Ada'), tool_arguments: { command: 'ls' }, message_id: 'Ada' }),
  workerEvent('member_message_complete', { ...of('Bob'), content: 'one line\nand half', message_id: 'Bob' }),
  workerEvent('member_tool_completed', {
    ...callOf('Ada'),
    message_id: 'Ada',
    status: 'failed',
    outcome: 'failed',
    tool_output: 'no\nsuch',
    tool_error: 'exit code 2',
    duration_ms: 7,
  }),
  chunk('them.'),
  workerEvent('approval_requested', { approval_id: 'a', tool_execution_id: 't', title: 'Go on', expires_at: 'later' }),
  workerEvent('approval_resolved', { approval_id: 'a', tool_execution_id: 't', status: 'expired' }),
  done('completed'),
];

test('lines of members carry their names, and stdout is the answer of the leader alone', async () => {
  const { stdout, stderr } = await exec(await start({ steps }), ['agent', 'default', 'x']);
  expect(stdout).toBe('I ask them.\n');
  expect(stderr.split('\n').filter((line) => line.startsWith('['))).toEqual([
    '[Bob] one line',
    '[Ada] first half',
    '[Ada] > run_shell_command ls',
    '[Bob] and half',
    '[Ada]   | no',
    '[Ada]   | such',
    '[Ada]   failed: run_shell_command in 7ms: exit code 2',
  ]);
  expect(stderr).toContain('approval needed: Go on\n  expires at later\n');
  expect(stderr).toContain('nobody answered in time');
  const verbose = await exec(await start({ steps }), ['agent', 'default', 'x', '--verbose']);
  expect(verbose.stderr).toContain('[Bob] thinking: hm');
});

test('without a stream the whole of what is to be approved is shown', async () => {
  const asked = {
    approval_id: 'a',
    tool_execution_id: 't',
    title: 'Go on',
    message: 'one\ntwo\n',
    expires_at: 'later',
  };
  const plane = await start({ steps: [workerEvent('approval_requested', asked), chunk('yes'), done('completed')] });
  const { stderr } = await exec(plane, ['agent', 'default', 'x', '--no-stream']);
  expect(stderr).toContain('approval needed: Go on\n  | one\n  | two\n');
});

test('the JSON stream has them with stable keys', async () => {
  const { stdout } = await exec(await start({ steps }), ['agent', 'default', 'x', '--stream-format', 'json']);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const first = (type: string) => lines.find((line) => line['type'] === type);
  const ada = { name: 'Ada', parent_message_id: 'm1' };
  expect(first('member_message_chunk')).toMatchObject({ member: ada, message: { content: 'first ', chunk: true } });
  expect(first('member_message')).toMatchObject({ member: { name: 'Bob' }, message: { role: 'assistant' } });
  expect(first('member_thinking')).toMatchObject({ member: { name: 'Bob' }, thinking: { content: 'hm' } });
  expect(first('member_tool_started')).toMatchObject({ member: ada, tool: { id: 't-Ada', inputs: { command: 'ls' } } });
  expect(first('member_tool_completed')).toMatchObject({ member: ada, tool: { success: false, duration_ms: 7 } });
  expect(first('approval_requested')).toMatchObject({ approval: { id: 'a', tool_id: 't', title: 'Go on' } });
  expect(first('approval_resolved')).toMatchObject({ approval: { id: 'a', status: 'expired' } });
});
