// The skill `shell`: run_shell_command under a command policy.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import * as v from 'valibot';
import type { ResolvedSkill } from '../protocol/tool.ts';
import {
  type SkillTools,
  namesSchema,
  parseConfiguration,
  secondsSchema,
  sizeSchema,
  toolSecondsMax,
} from './configuration.ts';
import { type CommandPolicy, defaultBlockedCommands, judgeArguments, judgeScript, readOnlyCommands } from './policy.ts';
import description from './run-shell-command.txt' with { type: 'text' };
import { outcomeOf, runProcess } from './run-process.ts';
import { type ToolOutcome, type ToolRun, defineTool, failure } from './tool.ts';

const variants = ['safe_commands', 'full_access', 'read_only'] as const;

const shellEntries = {
  variant: v.optional(v.picklist(variants)),
  allowed_commands: v.optional(namesSchema),
  blocked_commands: v.optional(namesSchema),
  /** Seconds; a default that the model may exceed only where neither this nor a restricted variant is set. */
  timeout: v.optional(secondsSchema),
  max_output_size: v.optional(sizeSchema),
  working_directory: v.optional(v.pipe(v.string(), v.minLength(1))),
  environment_variables: v.optional(
    v.record(v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/)), v.union([v.string(), v.number(), v.boolean()])),
  ),
};

type ShellConfiguration = v.InferOutput<v.ObjectSchema<typeof shellEntries, undefined>>;

/** Seconds by variant, from the documented defaults of the skill. */
const defaultSeconds = { none: 60, safe_commands: 30, full_access: 300, read_only: 30 } as const;

const input = v.strictObject({
  command: v.optional(v.pipe(v.string(), v.description('A command line for the shell'))),
  args: v.optional(v.pipe(v.array(v.string()), v.description('A program and its arguments, run without a shell'))),
  tail: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.description('Return only the last lines'))),
  working_directory: v.optional(v.pipe(v.string(), v.description('Where to run it; relative to the workspace'))),
  timeout_seconds: v.optional(v.pipe(secondsSchema, v.description('Stop the command after this many seconds'))),
});

export function createShellTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, shellEntries);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const { configuration } = parsed;
  const policy = policyOf(configuration);
  const ownSeconds = configuration.timeout ?? defaultSeconds[configuration.variant ?? 'none'];
  const isCapped =
    configuration.timeout !== undefined || policy.isReadOnly || configuration.variant === 'safe_commands';
  const secondsMax = isCapped ? ownSeconds : toolSecondsMax;
  const tool = defineTool({
    name: 'run_shell_command',
    description,
    input,
    // An allow-list of the user's own may name commands that write.
    effect: policy.isReadOnly && configuration.allowed_commands === undefined ? 'read_only' : 'side_effecting',
    timeoutMs: {
      usual: ownSeconds * 1000,
      of: ({ timeout_seconds }) => Math.min(timeout_seconds ?? ownSeconds, secondsMax) * 1000,
    },
    run: (given, run) => runShellCommand(given, run, configuration, policy),
  });
  return { tools: [tool], problems: parsed.problems };
}

function policyOf(configuration: ShellConfiguration): CommandPolicy {
  const isReadOnly = configuration.variant === 'read_only';
  return {
    allowed: configuration.allowed_commands ?? (isReadOnly ? readOnlyCommands : undefined),
    blocked:
      configuration.blocked_commands ?? (configuration.variant === 'safe_commands' ? defaultBlockedCommands : []),
    isReadOnly,
  };
}

async function runShellCommand(
  given: v.InferOutput<typeof input>,
  run: ToolRun,
  configuration: ShellConfiguration,
  policy: CommandPolicy,
): Promise<ToolOutcome> {
  const command = commandOf(given);
  if (command === null) return failure('Give either command or args, not both and not neither');
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
