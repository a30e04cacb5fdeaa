// The runtime claude_code with a program in the place of `claude`: permissions, servers, events, and a worker that is killed in a turn.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { until } from '../support/until.ts';
import { failureOf, type Lab, queueName, startLab, streamLines } from './lab.ts';

const limitMs = 60_000;
let lab: Lab;
let programs = '';

beforeAll(async () => {
  programs = mkdtempSync(join(tmpdir(), 'kubiya-programs-'));
  lab = await startLab({ PATH: `${programs}:${process.env['PATH'] ?? ''}` });
  const agent = (name: string, more: object) =>
    lab.server.request('POST', '/api/v1/agents', { name, runtime: 'claude_code', system_prompt: 'Be kind.', ...more });
  const skill = async (name: string, type: string, configuration: object): Promise<string> => {
    const { id } = (await lab.server.request('POST', '/api/v1/skills', { name, type, configuration })) as {
      id: string;
    };
    return id;
  };
  await agent('coder', {
    model_id: 'anthropic/claude-opus-5',
    skill_ids: [
      await skill('commands', 'shell', { allowed_commands: ['git status', 'ls'], blocked_commands: ['rm'] }),
      await skill('looking', 'file_system', { variant: 'read_only' }),
      await skill('pictures', 'data_visualization', {}),
    ],
    execution_environment: {
      env_vars: { PLACE: 'here' },
      mcp_servers: { docs: { url: 'http://127.0.0.1:1/mcp', headers: { Authorization: 'Bearer ${PLACE}-secret' } } },
    },
  });
  await agent('plain', {});
}, limitMs);
afterAll(async () => {
  await lab.stop();
  rmSync(programs, { recursive: true });
}, limitMs);

function install(): void {
  const program = join(programs, 'claude');
  const fixture = join(import.meta.dir, 'claude-program.fixture.ts');
  writeFileSync(program, `#!/bin/sh\nexec ${process.execPath} ${fixture} "$@"\n`);
  chmodSync(program, 0o755);
}

interface Run {
  readonly words: readonly string[];
  readonly prompt: string;
  readonly cwd: string;
  readonly configFile: string;
  readonly mode: number;
  readonly config: unknown;
  readonly keys: readonly string[];
}
const runsFile = (): string => join(lab.home.directory, 'claude-runs.jsonl');
const runs = (): Run[] =>
  existsSync(runsFile()) ? streamLines(readFileSync(runsFile(), 'utf8')).map((run) => run as unknown as Run) : [];
const exec = (agent: string, prompt: string, ...more: string[]) =>
  lab.run(['exec', 'agent', agent, prompt, '--queue', queueName, ...more], { limitMs });

test(
  'without the program it is an error of the configuration',
  async () => {
    const result = await exec('plain', 'hello');
    expect(result.code).toBe(6);
    const { error, hint } = failureOf(result);
    expect(error).toContain('the program `claude` is not installed here');
    expect(hint).toContain('npm install -g @anthropic-ai/claude-code');
  },
  limitMs,
);

test(
  'a turn is a run of the program, with what the agent is allowed',
  async () => {
    install();
    const result = await exec('coder', 'hello', '--stream-format', 'json');
    expect(result.code).toBe(0);
    const lines = streamLines(result.stdout);
    const types = lines.map(({ type }) => type);
    expect(types).toEqual(expect.arrayContaining(['message_chunk', 'tool_started', 'tool_completed', 'done']));
    expect(lines.find(({ type }) => type === 'tool_completed')).toMatchObject({
      tool: { name: 'Bash', outputs: 'a.txt' },
    });
    expect(lines.find(({ type }) => type === 'done')).toMatchObject({ response: 'The answer to: hello' });
    expect(JSON.stringify(lines)).toContain('pictures is not available with claude_code');

    const [run] = runs();
    const { words = [], config, configFile, mode, keys, cwd } = run ?? {};
    expect(words).toEqual(
      expect.arrayContaining([
        '-p',
        '--permission-mode=default',
        '--strict-mcp-config',
        '--model=claude-opus-5',
        '--allowedTools=Bash(git status:*),Bash(ls:*),BashOutput,KillShell,Read(./**),Glob,Grep,mcp__docs',
        '--disallowedTools=Bash(rm:*),Write,Edit,NotebookEdit,WebFetch,WebSearch',
      ]),
    );
    expect(words.find((word) => word.startsWith('--append-system-prompt='))).toContain('Be kind.');
    expect(words.some((word) => word.startsWith('--resume='))).toBe(false);
    expect(mode).toBe(0o600);
    expect(config).toEqual({
      mcpServers: {
        docs: { type: 'http', url: 'http://127.0.0.1:1/mcp', headers: { Authorization: 'Bearer here-secret' } },
      },
    });
    expect(keys?.toSorted()).toEqual(['KUBIYA_CALL_ID', 'KUBIYA_INSTANCE']);
    // The secrets of its servers do not outlive it, and are not where it works.
    expect(configFile?.startsWith(lab.home.kubiyaHome)).toBe(true);
    expect(configFile?.startsWith(cwd ?? '')).toBe(false);
    expect(existsSync(configFile ?? '')).toBe(false);
  },
  limitMs,
);

test(
  'its failures are sentences',
  async () => {
    const refused = await exec('plain', 'fail');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('Invalid API key');
    // A workspace that is gone costs the session, not the worker.
    const vanished = await exec('plain', 'vanish');
    expect({ code: vanished.code, stderr: vanished.stderr }).toMatchObject({ code: 0 });
    const crashed = await exec('plain', 'crash');
    expect(crashed.code).toBe(1);
    expect(crashed.stderr).toContain('exit code 139');
    expect(crashed.stderr).toContain('segmentation fault');
  },
  limitMs,
);

test(
  'a turn whose worker was killed is taken up again in its session, with a warning',
  async () => {
    const before = runs().length;
    const running = exec('plain', 'hang');
    await until(() => lab.home.processes().some((line) => line.includes('sleep 999')));
    await lab.worker.process.end('SIGKILL');
    await until(() => !lab.home.processes().some((line) => line.includes('sleep 999')));
    // Of an execution that never comes back, and of one whose program starts in this moment.
    const place = dirname(runs().at(-1)?.configFile ?? '');
    const [old, fresh] = ['old', 'fresh'].map((name) => join(place, `.claude-mcp-${name}.json`)) as [string, string];
    for (const file of [old, fresh]) writeFileSync(file, '{}');
    utimesSync(old, 1, 1);
    lab = await lab.restartWorker();
    const result = await running;
    expect([existsSync(old), existsSync(fresh)]).toEqual([false, true]);
    expect(result.code).toBe(0);
    const [first, second, ...rest] = runs().slice(before);
    expect(rest).toEqual([]);
    expect(first?.prompt).toBe('hang');
    expect(second?.words).toContain('--resume=session-1');
    expect(second?.prompt).toContain('may or may not have taken effect');
    expect(result.stdout).toContain('The answer to: The worker stopped');
  },
  limitMs,
);
