// How an agent is put into words for the `claude` program: what its skills allow, its MCP servers, its instructions.
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, posix } from 'node:path';
import { KubiyaError } from '../../errors.ts';
import { cutHead } from '../../lib/text.ts';
import type { ResolvedSkill } from '../../protocol/tool.ts';
import { parseConfiguration } from '../configuration.ts';
import { fileSystemSkill } from '../files.ts';
import type { McpConfiguration, McpSettings, McpTarget } from '../mcp/configuration.ts';
import { shellSkill } from '../shell.ts';
import type { SkillInstructions } from '../skill-folder.ts';
import { createToolset } from '../toolset.ts';

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

/** Built-in tools that are taken away where no skill gives them: some of their uses need no permission otherwise. */
const builtInTools = ['Bash', 'Read', 'Glob', 'Grep', 'Write', 'Edit', 'NotebookEdit', 'WebFetch', 'WebSearch'];

/** Whatever is not allowed is refused by the program, which has nobody to ask. A skill whose limits it cannot keep is left out. */
export function permissionsOf(skills: readonly ResolvedSkill[]): ClaudePermissions {
  const allowed = new Set<string>();
  const denied = new Set<string>();
  const problems: string[] = [];
  for (const skill of skills) {
    const rules = rulesOf(skill);
    if (typeof rules === 'string') {
      problems.push(`Skill ${skill.name} is not available with claude_code: ${rules}`);
      continue;
    }
    for (const rule of rules.allowed) allowed.add(rule);
    for (const rule of rules.denied ?? []) denied.add(rule);
  }
  const given = new Set([...allowed].map((rule) => rule.split('(')[0]));
  for (const tool of builtInTools) if (!given.has(tool)) denied.add(tool);
  return { allowed: [...allowed], denied: [...denied], problems };
}

interface Rules {
  readonly allowed: readonly string[];
  readonly denied?: readonly string[];
}

/** A sentence where there are none. */
function rulesOf(skill: ResolvedSkill): Rules | string {
  switch (skill.type) {
    case 'shell':
      return shellRules(skill);
    case 'file_system':
    case 'file_generation':
      return fileRules(skill);
    case 'python': {
      const isLimited = Object.values(skill.configuration).some((value) => value !== null);
      if (isLimited) return 'its settings cannot be kept there';
      return { allowed: [commandRule('python3'), commandRule('python')] };
    }
    default:
      return `it has no tools for skills of type ${skill.type}`;
  }
}

function shellRules(skill: ResolvedSkill): Rules | string {
  const parsed = parseConfiguration(skill, shellSkill);
  if (!parsed.ok) return 'its settings are wrong';
  if (parsed.variant === 'read_only') return 'it does not look at what a command does to files';
  const { allowed_commands: only, blocked_commands: not = [] } = parsed.configuration;
  // A rule is a text with parentheses in a list with commas.
  if ([...(only ?? []), ...not].some((command) => /[(),]/.test(command))) return 'its commands hold ( , or )';
  return {
    allowed: [...(only?.map(commandRule) ?? ['Bash']), 'BashOutput', 'KillShell'],
    denied: not.map(commandRule),
  };
}

const commandRule = (command: string): string => `Bash(${command}:*)`;

function fileRules(skill: ResolvedSkill): Rules | string {
  const parsed = parseConfiguration(skill, fileSystemSkill);
  if (!parsed.ok) return 'its settings are wrong';
  const { configuration, variant } = parsed;
  const { base_dir: base, allowed_paths: others = [] } = configuration;
  const named = [...(base === undefined ? [] : [base]), ...others];
  const places = named.length > 0 ? named : [variant === 'full_access' ? '/' : '.'];
  if (places.some((place) => /[(),*]/.test(place))) return 'its directories hold ( , ) or *';
  const { tools } = createToolset([skill]);
  const inside = (tool: string): string[] =>
    places.map((place) => (place === '/' ? tool : `${tool}(${patternOf(place)})`));
  return {
    allowed: [
      ...(tools.has('read_file') ? inside('Read') : []),
      ...(tools.has('list_files') || tools.has('search_files') ? ['Glob'] : []),
      ...(tools.has('search_content') ? ['Grep'] : []),
      ...(tools.has('save_file') ? [...inside('Write'), ...inside('Edit')] : []),
    ],
  };
}

/** Without the servers that the program would start or ask in another way than they are configured. */
export function claudeServersOf(configuration: McpConfiguration, workspace: string): McpConfiguration {
  const problems = [...configuration.problems];
  const servers = configuration.servers.filter(({ name, target, server }) => {
    const reason = unkeptOf(target, workspace);
    if (reason === undefined) return true;
    const message = `MCP server ${name} is not available with claude_code: ${reason}`;
    problems.push({ server: name, message, isRequired: server.required });
    return false;
  });
  return { ...configuration, servers, problems };
}

function unkeptOf(target: McpTarget, workspace: string): string | undefined {
  if (target.transport !== 'stdio') return target.oauth && 'its oauth cannot be kept there; give it headers';
  return target.cwd === workspace ? undefined : 'its cwd cannot be kept there';
}

export interface ClaudeTurn {
  readonly model: string;
  readonly permissionMode: string;
  readonly systemPrompt: string;
  readonly instructions: readonly SkillInstructions[];
  readonly permissions: ClaudePermissions;
  readonly servers: readonly McpSettings[];
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
  const allowed = [...permissions.allowed, ...turn.servers.flatMap(serverRules)];
  const denied = [...permissions.denied, ...turn.servers.flatMap(blockedRules)];
  return [
    '-p',
    '--input-format=stream-json',
    '--output-format=stream-json',
    '--verbose',
    `--permission-mode=${turn.permissionMode}`,
    '--strict-mcp-config',
    `--mcp-config=${turn.mcpConfigFile}`,
    `--append-system-prompt=${cutHead(prompt.replaceAll('\0', ''), promptBytesMax)}`,
    ...(model === claudeCodeModel ? [] : [`--model=${model.replace(/^anthropic\//, '')}`]),
    ...(sessionId === undefined ? [] : [`--resume=${sessionId}`]),
    ...instructions.map(({ path }) => `--add-dir=${path}`),
    ...(allowed.length === 0 ? [] : [`--allowedTools=${allowed.join(',')}`]),
    ...(denied.length === 0 ? [] : [`--disallowedTools=${denied.join(',')}`]),
  ];
}

/** Its rules take `//` for the root of the file system, and `./` for where it works. */
function patternOf(place: string): string {
  const path = posix.normalize(place);
  if (path === '.') return './**';
  return path.startsWith('/') ? `/${path}/**` : `./${path}/**`;
}

/** The whole server, or the tools that its configuration allows. */
function serverRules({ name, server }: McpSettings): string[] {
  return server.allowed_tools?.map((tool) => toolRule(name, tool)) ?? [`mcp__${serverNameOf(name)}`];
}

function blockedRules({ name, server }: McpSettings): string[] {
  return server.blocked_tools.map((tool) => toolRule(name, tool));
}

/** The program makes names of tools in the same way as those of servers. */
const toolRule = (server: string, tool: string): string => `mcp__${serverNameOf(server)}__${serverNameOf(tool)}`;

/** What the program takes as a server's name. */
const serverNameOf = (name: string): string => name.replaceAll(/[^\w-]/g, '_');

/** Its own format of a configuration with MCP servers; holds their secrets. */
export function mcpConfigText({ servers }: McpConfiguration): string {
  const entries = servers.map(({ name, target }): [string, object] => {
    if (target.transport === 'stdio') {
      const [command, ...args] = target.command;
      return [serverNameOf(name), { type: 'stdio', command, args, env: target.environment }];
    }
    const { url, headers } = target;
    return [serverNameOf(name), { type: target.transport === 'sse' ? 'sse' : 'http', url, headers }];
  });
  return JSON.stringify({ mcpServers: Object.fromEntries(entries) });
}
