// The skill `shell`: run_shell_command under a command policy.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import * as v from 'valibot';
import type { ResolvedSkill } from '../protocol/tool.ts';
import {
  type SkillTools,
  type SkillType,
  namesSchema,
  parseConfiguration,
  secondsSchema,
  setting,
  sizeSchema,
  toolSecondsMax,
} from './configuration.ts';
import {
  type CommandPolicy,
  defaultBlockedCommands,
  isLimited,
  judgeArguments,
  judgeScript,
  readOnlyCommands,
} from './policy.ts';
import description from './run-shell-command.txt' with { type: 'text' };
import { outcomeOf, runProcess } from './run-process.ts';
import { type ToolOutcome, type ToolRun, defineTool, failure } from './tool.ts';

const entries = {
  allowed_commands: setting(namesSchema, 'only these commands (names, starts such as `git status`, or paths) may run'),
  blocked_commands: setting(namesSchema, 'these commands may not run'),
  timeout: setting(secondsSchema, 'seconds a command may take, also when the model asks for more; 60 unless set'),
  max_output_size: setting(sizeSchema, 'bytes of output that the model reads, such as `10MB`; 100000 at most'),
  working_directory: setting(v.pipe(v.string(), v.minLength(1)), 'where commands start; the workspace unless set'),
  environment_variables: setting(
    v.record(v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/)), v.union([v.string(), v.number(), v.boolean()])),
    'variables that commands get',
  ),
};

type ShellVariant = 'safe_commands' | 'full_access' | 'read_only';

export const shellSkill = {
  type: 'shell',
  description: 'Run commands',
  entries,
  variants: {
    safe_commands: {
      description: 'everything but commands that destroy, administer or end things',
      values: { blocked_commands: defaultBlockedCommands, timeout: 30 },
    },
    full_access: { description: 'everything', values: { timeout: 300 } },
    read_only: {
      description: 'only commands that read, without arguments and redirections that write',
      values: { allowed_commands: readOnlyCommands, timeout: 30 },
    },
  },
  create: createShellTools,
} satisfies SkillType<typeof entries, ShellVariant>;

type ShellConfiguration = v.InferOutput<v.ObjectSchema<typeof entries, undefined>>;

/** The documented default of the skill; the model may ask for more where neither the skill nor a restricting variant limits it. */
const secondsDefault = 60;

const input = v.strictObject({
  command: v.optional(v.pipe(v.string(), v.description('A command line for the shell'))),
  args: v.optional(v.pipe(v.array(v.string()), v.description('A program and its arguments, run without a shell'))),
  tail: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.description('Return only the last lines'))),
  working_directory: v.optional(v.pipe(v.string(), v.description('Where to run it; relative to the workspace'))),
  timeout_seconds: v.optional(v.pipe(secondsSchema, v.description('Stop the command after this many seconds'))),
});

function createShellTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, shellSkill);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const { configuration, variant, given } = parsed;
  const policy: CommandPolicy = {
    allowed: configuration.allowed_commands,
    blocked: configuration.blocked_commands ?? [],
    isReadOnly: variant === 'read_only',
  };
  const ownSeconds = configuration.timeout ?? secondsDefault;
  const isCapped = given.has('timeout') || variant === 'read_only' || variant === 'safe_commands';
  const secondsMax = isCapped ? ownSeconds : toolSecondsMax;
  const tool = defineTool({
    name: 'run_shell_command',
    description,
    input,
    // An allow-list of the user's own may name commands that write.
    effect: policy.isReadOnly && !given.has('allowed_commands') ? 'read_only' : 'side_effecting',
    timeoutMs: {
      usual: ownSeconds * 1000,
      of: ({ timeout_seconds }) => Math.min(timeout_seconds ?? ownSeconds, secondsMax) * 1000,
    },
    run: (call, run) => runShellCommand(call, run, configuration, policy),
  });
  return { tools: [tool], problems: parsed.problems };
}

async function runShellCommand(
  given: v.InferOutput<typeof input>,
  run: ToolRun,
  configuration: ShellConfiguration,
  policy: CommandPolicy,
): Promise<ToolOutcome> {
  const command = commandOf(given);
  if (command === null) return failure('Give either command or args, not both and not neither');
  if (process.platform === 'win32' && given.command !== undefined && isLimited(policy)) {
    return failure('On Windows the command policy can judge only args, a program and its arguments, not command');
  }
  const judgement = given.command === undefined ? judgeArguments(command, policy) : judgeScript(given.command, policy);
  if (!judgement.isAllowed) return failure(`The command was not run: ${judgement.reason}`);
  const variables = Object.entries(configuration.environment_variables ?? {});
  const outcome = await runProcess(
    {
      command,
      cwd: resolve(run.workspace, configuration.working_directory ?? '', given.working_directory ?? ''),
      environment: Object.fromEntries(variables.map(([name, value]) => [name, String(value)])),
    },
    { ...run, outputBytesMax: Math.min(run.outputBytesMax, configuration.max_output_size ?? run.outputBytesMax) },
  );
  return outcome.ok ? outcomeOf(outcome.end, given.tail) : failure(outcome.problem);
}

/** bash where there is one, because models write bash. */
function commandOf(given: v.InferOutput<typeof input>): readonly string[] | null {
  const { command, args } = given;
  if (args !== undefined) return command === undefined && args.length > 0 && args[0] !== '' ? args : null;
  if (command === undefined || command.trim() === '') return null;
  if (process.platform === 'win32') return ['cmd.exe', '/d', '/s', '/c', command];
  return [['/bin/bash', '/usr/bin/bash'].find((path) => existsSync(path)) ?? '/bin/sh', '-c', command];
}
