// The text renderer on a terminal and in a pipe: who ends whose line, parallel calls, hostile text.
import { expect, test } from 'bun:test';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createOutput, type OutputStream } from '../../../src/cli/output.ts';
import type { Renderer } from '../../../src/cli/render/renderer.ts';
import { createTextRenderer } from '../../../src/cli/render/text.ts';

const timestamp = '2026-11-24T10:00:00.000Z';
const options = { outputLinesMax: 10, isVerbose: false, isAnswerJson: false, showsPrompt: false };

async function render(
  isTty: boolean,
  act: (renderer: Renderer, event: (type: string, data: Record<string, unknown>) => Promise<void>) => Promise<void>,
) {
  const [stdout, stderr] = [0, 1].map((): PassThrough & OutputStream =>
    Object.assign(new PassThrough({ highWaterMark: 1e6 }), { isTTY: isTty }),
  );
  if (stdout === undefined || stderr === undefined) throw new Error('two streams are made above');
  const renderer = createTextRenderer(
    createOutput(stdout, stderr, { environment: { NO_COLOR: '1' }, isStdinTty: false }),
    options,
  );
  await act(renderer, (type, data) => renderer.event({ type, data, timestamp }));
  stdout.end();
  stderr.end();
  return { stdout: await text(stdout), stderr: await text(stderr) };
}

test('a note in the middle of an answer: its own line on a terminal, no change of a piped answer', async () => {
  const act: Parameters<typeof render>[1] = async (renderer, event) => {
    await event('message_chunk', { message_id: 'm', content: 'half ' });
    await renderer.notice('connection lost');
    await event('message_chunk', { message_id: 'm', content: 'whole' });
    await renderer.pause();
  };
  expect((await render(true, act)).stdout).toBe('half \nwhole\n');
  expect(await render(false, act)).toEqual({ stdout: 'half whole\n', stderr: 'connection lost\n' });
});

test('messages are apart, although the second begins without the end of the first', async () => {
  const { stdout } = await render(false, async (renderer, event) => {
    await event('message_chunk', { message_id: 'm1', content: 'one' });
    await event('message_chunk', { message_id: 'm2', content: 'two' });
    await renderer.pause();
  });
  expect(stdout).toBe('one\ntwo\n');
});

test('results of parallel calls say what they belong to, their live output is not mixed', async () => {
  const { stderr } = await render(false, async (_renderer, event) => {
    for (const [id, command] of [
      ['a', 'first'],
      ['b', 'second'],
    ])
      await event('tool_started', { tool_execution_id: id, tool_name: 'run', tool_arguments: { command } });
    await event('tool_output', { tool_execution_id: 'a', content: 'live\n' });
    await event('tool_completed', {
      tool_execution_id: 'b',
      tool_name: 'run',
      status: 'success',
      tool_output: 'B',
      duration_ms: 2,
    });
    await event('tool_completed', {
      tool_execution_id: 'a',
      tool_name: 'run',
      status: 'failed',
      outcome: 'interrupted',
      tool_output: 'live\n',
      duration_ms: 3,
    });
  });
  expect(stderr).toBe(
    '> run first\n> run second\n  | B\n  ok: run second in 2ms\n  | live\n  interrupted: run in 3ms\n',
  );
});

test('what a tool prints cannot take over the terminal', async () => {
  const { stderr } = await render(true, async (_renderer, event) => {
    await event('tool_completed', {
      tool_execution_id: 'a',
      tool_name: 'run\u001B[2J',
      status: 'success',
      tool_output: '\u001B]0;owned\u0007x',
      duration_ms: 1,
    });
  });
  expect(stderr).toBe('  | x\n  ok: run in 1ms\n');
});
