// The whole product with a real language model: real tokens, a tool call of its own, and the tool's result back to it.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type SmallModel, startSmallModel } from '../support/small-model.ts';
import { type Lab, startLab, streamLines } from './lab.ts';

/** The download happens once in a checkout and is not part of what the run may take. */
const installTimeoutMs = 240_000;
const runLimitMs = 90_000;

let model: SmallModel | undefined;
let lab: Lab;
beforeAll(async () => {
  model = await startSmallModel();
  lab = await startLab({ OPENAI_BASE_URL: model.url });
}, installTimeoutMs);
afterAll(async () => {
  await lab.stop();
  await model?.stop();
}, 60_000);

test(
  'a real model calls a tool, reads its result and answers, streamed',
  async () => {
    // One skill: the descriptions of all of them are more than the window of a model of this size.
    const create = ['agent', 'create', '--name', 'small', '--skill', 'shell', '--system-prompt', 'You are helpful.'];
    expect(await lab.run([...create, '--model', 'openai/smollm2-135m'])).toMatchObject({ code: 0 });
    const prompt = 'List the files in the current directory.';
    const result = await lab.run(['exec', 'agent', 'small', '--stream-format', 'json', prompt], {
      limitMs: runLimitMs,
    });
    const lines = streamLines(result.stdout);
    const typed = (type: string) => lines.filter((line) => line['type'] === type);
    // The tool and its arguments are the model's choice; that it is called, and its result read, is ours.
    expect(typed('tool_started')).toMatchObject([{ tool: { name: 'run_shell_command' } }]);
    expect(typed('tool_completed')).toMatchObject([{ tool: { outputs: expect.any(String) } }]);
    expect(typed('message_chunk').length).toBeGreaterThan(1);
    const done = lines.at(-1) as { status: string; response: string; usage: Record<string, number> };
    expect(done).toMatchObject({ type: 'done', status: 'completed' });
    expect(done.response.length).toBeGreaterThan(10);
    expect(done.usage['completion_tokens']).toBeGreaterThan(5);
    expect(done.usage['prompt_tokens']).toBeGreaterThan(100);
    expect(result.code).toBe(0);
  },
  runLimitMs + 5_000,
);
