// The skill `custom`: tools that a user declares as commands with parameters.
import * as v from 'valibot';
import { type ResolvedSkill, toolEffectSchema } from '../protocol/tool.ts';
import { type SkillTools, type SkillType, parseConfiguration, setting, sizeSchema } from './configuration.ts';
import { type DeclaredCommand, declarationProblem, declaredCommandEntries, renderCommand } from './declared-command.ts';
import { type Arguments, inputOf, parametersSchema } from './parameters.ts';
import { outcomeOf, runProcess } from './run-process.ts';
import { type Tool, type ToolOutcome, type ToolRun, defineTool, failure } from './tool.ts';

const secondsDefault = 60;
/** More tools than this confuse every model. */
const toolsMax = 50;

/** What the model's providers accept. */
export const toolNameSchema = v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_-]{0,63}$/));

const customToolSchema = v.strictObject({
  name: toolNameSchema,
  description: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(2_000)),
  parameters: v.optional(parametersSchema, {}),
  effect: v.optional(toolEffectSchema, 'side_effecting'),
  ...declaredCommandEntries,
});
type CustomTool = v.InferOutput<typeof customToolSchema>;

const entries = {
  tools: setting(
    v.pipe(v.array(customToolSchema), v.maxLength(toolsMax)),
    'each with name, description, command (program and arguments with {{places}}), parameters (JSON Schema), and optionally timeout, effect, working_directory, environment_variables',
  ),
  max_output_size: setting(sizeSchema, 'bytes of output that the model reads, such as `10kB`; 100000 at most'),
};

export const customSkill = {
  type: 'custom',
  description: 'Tools of your own, declared as commands',
  entries,
  variants: {},
  create: createCustomTools,
} satisfies SkillType;

function createCustomTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, customSkill);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const problems = [...parsed.problems];
  const tools: Tool[] = [];
  for (const declared of parsed.configuration.tools ?? []) {
    const input = inputOf(declared.parameters);
    const problem = input.ok ? declarationProblem(declared, declared.parameters) : input.problem;
    if (!input.ok || problem !== undefined) {
      problems.push(`Tool ${declared.name} of skill ${skill.name} is not available: ${problem ?? ''}`);
    } else {
      tools.push(createCustomTool(declared, input.value, parsed.configuration.max_output_size));
    }
  }
  return { tools, problems };
}

function createCustomTool(
  declared: CustomTool,
  input: v.GenericSchema<unknown, object>,
  outputBytesMax: number | undefined,
): Tool {
  return defineTool({
    name: declared.name,
    description: declared.description,
    input,
    effect: declared.effect,
    timeoutMs: (declared.timeout ?? secondsDefault) * 1000,
    run: (given, run) =>
      runDeclared(declared, given as Arguments, {
        ...run,
        outputBytesMax: Math.min(run.outputBytesMax, outputBytesMax ?? run.outputBytesMax),
      }),
  });
}

async function runDeclared(declared: DeclaredCommand, given: Arguments, run: ToolRun): Promise<ToolOutcome> {
  const rendered = renderCommand(declared, given, run.workspace);
  if (!rendered.ok) return failure(rendered.problem);
  const outcome = await runProcess(rendered.value, run);
  return outcome.ok ? outcomeOf(outcome.end) : failure(outcome.problem);
}
