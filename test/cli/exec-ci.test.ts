// `kubiya exec` in the jobs of GitHub Actions and GitLab: what folds, what is annotated, and that no foreign text is obeyed.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCommandGuard } from '../../src/cli/output.ts';
import { chunk, done, workerEvent } from '../support/scripted-control-plane.ts';
import { exec, start, tool } from './scripted-exec.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'kubiya-ci-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** What GitHub's runner takes for a command: ActionCommand.TryParseV2 and TryParse of actions/runner. */
function commandsIn(log: string): string[] {
  return log.split(/\r\n|\n|\r/).filter((line) => line.trimStart().startsWith('::') || line.includes('##['));
}

const hostile = '::add-mask::a\n  ::error::b\n\t::stop-commands::x\n##[error]c\nx ##[group]d\r::debug::e\n';
const steps = [
  workerEvent('tool_started', { ...tool, tool_arguments: { command: 'ls\n::warning::100%' } }),
  workerEvent('tool_output', { tool_execution_id: 't1', content: hostile }),
  workerEvent('tool_completed', {
    ...tool,
    status: 'success',
    outcome: 'success',
    tool_output: hostile,
    duration_ms: 5,
  }),
  // Cut where it hurts.
  ...['ok\n:', ':error::f\n#', '#[debug]g\n', 'a :: b # # [c]\n'].map((text) => chunk(text)),
];
const run = async (kind: 'github' | 'gitlab', ending: 'completed' | 'failed' = 'completed', words: string[] = []) => {
  const summaryFile = join(directory, `summary-${Math.random()}.md`);
  const end = workerEvent('error', { error: '50% gone,\nmore', error_type: 'limit', retryable: false });
  const plane = await start({
    steps: [...steps, ...(ending === 'failed' ? [end] : []), done(ending)],
    final: {
      status: ending,
      response: 'see ```\n<img src=x>\n```',
      ...(ending === 'failed' ? { error_message: '50% gone,\nmore' } : {}),
    },
  });
  const github = { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: summaryFile };
  const environment = { CI: 'true', ...(kind === 'github' ? github : { GITLAB_CI: 'true' }) };
  const result = await exec(plane, ['agent', 'default', 'x', ...words], { environment });
  return { ...result, summary: kind === 'github' ? readFileSync(summaryFile, 'utf8') : '' };
};

describe('GitHub Actions', () => {
  test('the output of a call folds, and of foreign text nothing is a command', async () => {
    const { stdout, stderr, summary, code } = await run('github');
    expect(code).toBe(0);
    expect(commandsIn(stderr)).toEqual(['::group::run_shell_command ls ::warning::100%25', '::endgroup::']);
    expect(commandsIn(stdout)).toEqual([]);
    expect(stdout.replaceAll('\u200b', '')).toBe('ok\n::error::f\n##[debug]g\na :: b # # [c]\n');
    // In a fence that is longer than those inside.
    expect(summary).toContain('````text\nsee ```\n<img src=x>\n```\n````');
    expect(summary).toContain('| outcome | completed |');
  });

  test('a failure is an annotation', async () => {
    const { stderr, code } = await run('github', 'failed');
    expect(code).toBe(7);
    expect(commandsIn(stderr).at(-1)).toBe('::error title=kubiya exec failed::50%25 gone,%0Amore');
  });

  test('JSON says the same and is no command either', async () => {
    const { stdout } = await run('github', 'completed', ['--stream-format', 'json']);
    expect(commandsIn(stdout)).toEqual([]);
    const outputs = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; tool?: { outputs?: string } });
    expect(outputs.find(({ type }) => type === 'tool_completed')?.tool?.outputs).toBe(hostile);
  });
});

test('GitLab: sections fold, and foreign text cannot end them', async () => {
  const { stderr } = await run('gitlab');
  const escape = String.fromCharCode(27);
  const mark = new RegExp(
    `${escape}\\[0Ksection_(start|end):(\\d+):(\\w+)(\\[collapsed=true\\])?\r${escape}\\[0K(.*)`,
    'g',
  );
  const marks = [...stderr.matchAll(mark)];
  expect(marks.map(([, kind, , name, , title]) => [kind, name, title])).toEqual([
    ['start', 'kubiya_call_1', 'run_shell_command ls ::warning::100%'],
    ['end', 'kubiya_call_1', ''],
  ]);
  expect(stderr.split('\r').length - 1).toBe(2);
  expect(stderr).not.toContain('##[error]c\u001b');
});

test('elsewhere nothing folds', async () => {
  const plane = await start({ steps: [...steps, done('completed')] });
  const { stdout, stderr } = await exec(plane, ['agent', 'default', 'x'], { environment: { CI: 'true' } });
  expect(stderr).not.toContain('::group::');
  expect(stdout).toContain('\n::error::f\n');
});

test('the guard finds commands in text of any pieces', () => {
  const text = `${hostile}::a::\n :: x\n\u0085::y\n###[z]\n:::: ##[`;
  for (let size = 1; size < 9; size += 1) {
    const guard = createCommandGuard();
    let safe = '';
    for (let at = 0; at < text.length; at += size) safe += guard(text.slice(at, at + size));
    expect(commandsIn(safe)).toEqual([]);
    expect(safe.replaceAll('\u200b', '')).toBe(text);
  }
});
