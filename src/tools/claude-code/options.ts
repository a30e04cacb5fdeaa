// How an agent is put into words for the `claude` program: what its skills allow, its MCP servers, its instructions.
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { KubiyaError } from '../../errors.ts';
import { cutHead } from '../../lib/text.ts';
import type { ResolvedSkill } from '../../protocol/tool.ts';
import type { McpConfiguration } from '../mcp/configuration.ts';
import type { SkillInstructions } from '../skill-folder.ts';

export const claudeCodeRuntime = 'claude_code';
/** Of an agent that names no model: the program chooses. */
export const claudeCodeModel = 'claude_code';
const permissionModes: readonly unknown[] = ['default', 'acceptEdits', 'bypassPermissions', 'plan'];
/** A turn is a whole piece of work with many calls; the execution's own limit of time ends it sooner. */
const turnMsMax = 3_600_000;
/** Linux takes 128 kB as one argument. */
const promptBytesMax = 100_000;

/** What an execution records of the runtime. Throws when the program is not there. */
export function claudeCodeOf(
  environment: Readonly<Record<string, string>>,
  configuration: Readonly<Record<string, unknown>>,
  limits: { readonly toolTimeMsMax: number },
): { readonly permissionMode: string; readonly turnTimeMsMax: number } {
  if (findProgram(environment['PATH'] ?? '') === undefined) {
    throw new KubiyaError('the agent has the runtime claude_code, and the program `claude` is not installed here', {
      kind: 'configuration',
      code: 'claude_code_missing',
      hint: 'install it with `npm install -g @anthropic-ai/claude-code` where the worker runs, or give the agent the runtime `default`',
    });
  }
  const mode = configuration['permission_mode'];
  if (mode !== undefined && mode !== null && !permissionModes.includes(mode)) {
    throw new KubiyaError(`the agent’s permission_mode is none of ${permissionModes.join(', ')}`, {
      kind: 'configuration',
      code: 'claude_code_permission_mode',
      hint: 'correct `permission_mode` in the configuration of the agent',
    });
  }
  return {
    permissionMode: typeof mode === 'string' ? mode : 'default',
    turnTimeMsMax: Math.max(limits.toolTimeMsMax, turnMsMax),
  };
}

function findProgram(path: string): string | undefined {
  const name = process.platform === 'win32' ? 'claude.exe' : 'claude';
  return path
    .split(delimiter)
    .map((directory) => join(directory, name))
    .find((candidate) => {
      try {
        accessSync(candidate, constants.X_OK);
        return statSync(candidate).isFile();
      } catch {
        return false;
      }
    });
}

export interface ClaudePermissions {
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
  /** Sentences about what of a skill does not hold here. */
  readonly problems: readonly string[];
}

/** Whatever is not allowed is refused by the program, which has nobody to ask. */
export function permissionsOf(skills: readonly ResolvedSkill[]): ClaudePermissions {
  const allowed = new Set<string>();
  const denied = new Set<string>();
  const problems: string[] = [];
  const allow = (...rules: readonly string[]): void => rules.forEach((rule) => allowed.add(rule));
  for (const { name, type, configuration } of skills) {
    const isReadOnly = configuration['read_only'] === true || configuration['variant'] === 'read_only';
    switch (type) {
      case 'shell': {
        const only = namesOf(configuration['allowed_commands']);
        if (isReadOnly && only.length === 0) {
          problems.push(
            `Skill ${name} is not available with claude_code: a read-only shell needs allowed_commands there`,
          );
          break;
        }
        allow(...(only.length === 0 ? ['Bash'] : only.map(bashRule)), 'BashOutput', 'KillShell');
        for (const command of namesOf(configuration['blocked_commands'])) denied.add(bashRule(command));
        break;
      }
      case 'file_system':
        allow('Read', 'Glob', 'Grep', ...(isReadOnly ? [] : ['Write', 'Edit']));
        break;
      case 'file_generation':
        allow('Write');
        break;
      case 'python':
        allow(bashRule('python3'), bashRule('python'));
        break;
      case 'docker':
        allow(bashRule('docker'));
        break;
      default:
        problems.push(`Skill ${name} is not available with claude_code, which has no tools for the type ${type}`);
    }
  }
  return { allowed: [...allowed], denied: [...denied], problems };
}

const bashRule = (command: string): string => `Bash(${command}:*)`;

function namesOf(value: unknown): string[] {
  if (typeof value === 'string')
    return value
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

export interface ClaudeTurn {
  readonly model: string;
  readonly permissionMode: string;
  readonly systemPrompt: string;
  readonly instructions: readonly SkillInstructions[];
  readonly permissions: ClaudePermissions;
  readonly servers: readonly string[];
  /** Absolute path of a file that only we can read. */
  readonly mcpConfigFile: string;
  /** Of a session that is to be gone on with. */
  readonly sessionId: string | undefined;
}

/** The prompt itself goes through standard input; nothing here is secret. */
export function claudeArguments(turn: ClaudeTurn): string[] {
  const { model, systemPrompt, instructions, permissions, sessionId } = turn;
  const folders = instructions.map(
    ({ name, description, path }) => `- ${name}: ${description} (read ${path}/SKILL.md)`,
  );
  const prompt = folders.length === 0 ? systemPrompt : `${systemPrompt}\n\nSkills:\n${folders.join('\n')}`;
  const allowed = [...permissions.allowed, ...turn.servers.map((name) => `mcp__${name}`)];
  return [
    '-p',
    '--input-format=stream-json',
    '--output-format=stream-json',
    '--verbose',
    `--permission-mode=${turn.permissionMode}`,
    '--strict-mcp-config',
    `--mcp-config=${turn.mcpConfigFile}`,
    `--append-system-prompt=${cutHead(prompt, promptBytesMax)}`,
    ...(model === claudeCodeModel ? [] : [`--model=${model.replace(/^anthropic\//, '')}`]),
    ...(sessionId === undefined ? [] : [`--resume=${sessionId}`]),
    ...instructions.map(({ path }) => `--add-dir=${path}`),
    ...(allowed.length === 0 ? [] : [`--allowedTools=${allowed.join(',')}`]),
    ...(permissions.denied.length === 0 ? [] : [`--disallowedTools=${permissions.denied.join(',')}`]),
  ];
}

/** Its own format of a configuration with MCP servers; holds their secrets. */
export function mcpConfigText({ servers }: McpConfiguration): string {
  const entries = servers.map(({ name, target }): [string, object] => {
    if (target.transport === 'stdio') {
      const [command, ...args] = target.command;
      return [name, { type: 'stdio', command, args, env: target.environment }];
    }
    const { url, headers } = target;
    return [name, { type: target.transport === 'sse' ? 'sse' : 'http', url, headers }];
  });
  return JSON.stringify({ mcpServers: Object.fromEntries(entries) });
}
