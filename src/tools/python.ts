// The skill `python`: code and files run in the queue's virtual environment, with limits on time, memory and imports.
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { cutHead } from '../lib/text.ts';
import type { ResolvedSkill } from '../protocol/tool.ts';
import {
  type SkillTools,
  type SkillType,
  namesSchema,
  parseConfiguration,
  secondsSchema,
  setting,
  sizeSchema,
} from './configuration.ts';
import { type FilePolicy, writeText } from './file-access.ts';
import { createWorkspaceReadTools } from './files.ts';
import { fileProblem, resolvePath } from './paths.ts';
import pipInstallText from './pip-install-package.txt' with { type: 'text' };
import { type PythonEnvironment, installPackage, preparePython } from './python-environment.ts';
import importsScript from './python-imports.py.txt' with { type: 'text' };
import runnerScript from './python-runner.py.txt' with { type: 'text' };
import { outcomeOf, runProcess } from './run-process.ts';
import runPythonCodeText from './run-python-code.txt' with { type: 'text' };
import runPythonFileText from './run-python-file.txt' with { type: 'text' };
import saveToFileAndRunText from './save-to-file-and-run.txt' with { type: 'text' };
import { type Tool, type ToolOutcome, type ToolRun, defineTool, failure } from './tool.ts';
import uvPipInstallText from './uv-pip-install-package.txt' with { type: 'text' };

const entries = {
  allowed_imports: setting(namesSchema, 'only these modules may be imported'),
  max_memory: setting(sizeSchema, 'memory of a program; 2GB unless set'),
  timeout: setting(secondsSchema, 'seconds a program may take; 600 unless set'),
};

/** Modules that compute and neither reach files, processes or the network; what restricted_imports allows by itself. */
const computingModules = `
  math cmath statistics random decimal fractions numbers json re string textwrap datetime time calendar zoneinfo
  collections itertools functools operator heapq bisect dataclasses enum typing abc copy pprint uuid hashlib
  hmac base64 binascii struct csv io.StringIO unicodedata difflib array contextlib __future__
`
  .trim()
  .split(/\s+/);

const memoryBytesMaxDefault = 2 * 1024 ** 3;
const secondsDefault = 600;

export const pythonSkill = {
  type: 'python',
  description: 'Run Python in the environment of the queue',
  entries,
  variants: {
    restricted_imports: {
      description: 'only modules that compute, no installation of packages',
      values: { allowed_imports: computingModules, max_memory: '512MB', timeout: 120 },
    },
    full_access: { description: 'everything', values: { max_memory: '2GB', timeout: 600 } },
  },
  create: createPythonTools,
} satisfies SkillType<typeof entries>;

/** A package with compiled parts, over a slow line. */
const installTimeoutMs = 600_000;
/** A returned variable beside the printed output; larger values belong in a file. */
const valueBytesMax = 50_000;
/** The runner writes one JSON text; more than this is not read back. */
const resultBytesMax = 32 * 1024 ** 2;

interface PythonPolicy {
  /** Undefined: everything may be imported. */
  readonly allowedImports: readonly string[] | undefined;
  readonly memoryBytesMax: number;
}

const workspaceOnly: FilePolicy = { baseDirectories: ['.'], fileBytesMax: 1024 * 1024 };

function createPythonTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, pythonSkill);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const { configuration } = parsed;
  const isRestricted = configuration.allowed_imports !== undefined;
  const policy: PythonPolicy = {
    allowedImports: configuration.allowed_imports,
    memoryBytesMax: configuration.max_memory ?? memoryBytesMaxDefault,
  };
  const timeoutMs = (configuration.timeout ?? secondsDefault) * 1000;
  const tools = [
    createRunCode(policy, timeoutMs),
    createSaveAndRun(policy, timeoutMs),
    createRunFile(policy, timeoutMs),
    // A package's installation runs its own code, which no import policy sees.
    ...(isRestricted
      ? []
      : [
          createInstall('pip_install_package', pipInstallText),
          createInstall('uv_pip_install_package', uvPipInstallText),
        ]),
    ...createWorkspaceReadTools(),
  ];
  return { tools, problems: parsed.problems };
}

const variableName = v.optional(
  v.pipe(
    v.string(),
    v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of one variable'),
    v.description('Name of a variable whose value is returned'),
  ),
);
const pythonFile = v.pipe(v.string(), v.minLength(1), v.description('Path of the file, relative to the workspace'));

function createRunCode(policy: PythonPolicy, timeoutMs: number): Tool {
  return defineTool({
    name: 'run_python_code',
    description: runPythonCodeText,
    input: v.strictObject({ code: v.string(), variable_to_return: variableName }),
    effect: 'side_effecting',
    timeoutMs,
    run: (given, run) => runPython({ code: given.code, variable: given.variable_to_return }, run, policy),
  });
}

function createSaveAndRun(policy: PythonPolicy, timeoutMs: number): Tool {
  return defineTool({
    name: 'save_to_file_and_run',
    description: saveToFileAndRunText,
    input: v.strictObject({
      file_name: pythonFile,
      code: v.string(),
      variable_to_return: variableName,
      overwrite: v.optional(v.boolean(), true),
    }),
    effect: 'side_effecting',
    timeoutMs,
    run: async (given, run) => {
      const scope = { workspace: run.workspace, policy: workspaceOnly, signal: run.signal };
      const written = writeText(given.file_name, given.code, scope, { mayReplace: given.overwrite });
      if (!written.ok) return failure(written.problem);
      return runPythonFile(given.file_name, given.variable_to_return, run, policy);
    },
  });
}

function createRunFile(policy: PythonPolicy, timeoutMs: number): Tool {
  return defineTool({
    name: 'run_python_file_return_variable',
    description: runPythonFileText,
    input: v.strictObject({ file_name: pythonFile, variable_to_return: variableName }),
    effect: 'side_effecting',
    timeoutMs,
    run: (given, run) => runPythonFile(given.file_name, given.variable_to_return, run, policy),
  });
}

/** A name with extras and version conditions (PEP 508 without markers and addresses). */
const packagePattern =
  /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?( *\[[A-Za-z0-9._, -]+\])?( *(===?|>=|<=|~=|!=|>|<) *[A-Za-z0-9.*+!_-]+( *, *(===?|>=|<=|~=|!=|>|<) *[A-Za-z0-9.*+!_-]+)*)?$/;

function createInstall(name: 'pip_install_package' | 'uv_pip_install_package', description: string): Tool {
  const prefersUv = name === 'uv_pip_install_package';
  return defineTool({
    name,
    description,
    input: v.strictObject({ package_name: v.pipe(v.string(), v.minLength(1), v.maxLength(300)) }),
    effect: 'side_effecting',
    timeoutMs: installTimeoutMs,
    run: async ({ package_name: wanted }, run) => {
      const local = /[/\\]|\.(whl|tar\.gz|zip)$/.test(wanted)
        ? resolvePath(wanted, run.workspace, workspaceOnly)
        : undefined;
      if (local !== undefined && !local.ok) return failure(local.problem);
      if (local !== undefined && local.stats === undefined) return failure(`${wanted} does not exist`);
      if (local === undefined && !packagePattern.test(wanted)) {
        return failure(`${wanted} is not a package; give one name with optional versions, such as requests>=2`);
      }
      const installed = await installPackage(local?.path ?? wanted, run, { prefersUv });
      if (!installed.ok) return failure(installed.problem);
      return installed.value.ok ? outcomeOf(installed.value.end) : failure(installed.value.problem);
    },
  });
}

async function runPythonFile(
  name: string,
  variable: string | undefined,
  run: ToolRun,
  policy: PythonPolicy,
): Promise<ToolOutcome> {
  const file = resolvePath(name, run.workspace, workspaceOnly);
  if (!file.ok) return failure(file.problem);
  if (file.stats?.isFile() !== true) return failure(`${name} is not a file in the workspace`);
  return runPython({ path: file.path, variable }, run, policy);
}

type Program =
  | { readonly code: string; readonly path?: undefined; readonly variable: string | undefined }
  | { readonly path: string; readonly variable: string | undefined };

async function runPython(program: Program, run: ToolRun, policy: PythonPolicy): Promise<ToolOutcome> {
  const prepared = await preparePython(run);
  if (!prepared.ok) return failure(prepared.problem);
  let scratch: string | undefined;
  try {
    scratch = mkdtempSync(join(tmpdir(), 'kubiya-python-'));
    const path = program.path ?? join(scratch, 'code.py');
    if (program.path === undefined) writeFileSync(path, program.code, { mode: 0o600 });
    const refusal = await refuseImports(path, prepared.value, run, policy);
    if (refusal !== undefined) return failure(refusal);
    return await runProgram({ path, scratch, program }, prepared.value, run, policy);
  } catch (error) {
    return failure(fileProblem(error, 'the scratch directory'));
  } finally {
    if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
  }
}

interface Prepared {
  readonly path: string;
  readonly scratch: string;
  readonly program: Program;
}

async function runProgram(
  { path, scratch, program }: Prepared,
  environment: PythonEnvironment,
  run: ToolRun,
  policy: PythonPolicy,
): Promise<ToolOutcome> {
  const resultPath = join(scratch, 'result.json');
  // A file of the workspace named like an allowed module would get around the import policy.
  const searchPath =
    policy.allowedImports === undefined ? (program.path === undefined ? run.workspace : dirname(path)) : '';
  const outcome = await runProcess(
    {
      command: [environment.python, '-c', runnerScript, path, path, searchPath, resultPath, program.variable ?? ''],
      cwd: run.workspace,
      environment: environment.variables,
      memoryBytesMax: policy.memoryBytesMax,
    },
    run,
  );
  if (!outcome.ok) return failure(outcome.problem);
  const result = outcomeOf(outcome.end);
  if (program.variable === undefined || !existsSync(resultPath)) return result;
  return { ...result, output: `${result.output}\n${valueText(program.variable, resultPath)}` };
}

const resultSchema = v.object({ kind: v.picklist(['json', 'repr', 'missing']), text: v.string() });

/** The value as JSON, or as `repr` shows it when it has no JSON form. */
function valueText(variable: string, resultPath: string): string {
  let json: unknown;
  try {
    const text = readResult(resultPath);
    if (text === null) return `[the value of ${variable} is too large to return]`;
    json = JSON.parse(text);
  } catch {
    // Its memory limit or the program itself ended the runner while it wrote.
    return `[the value of ${variable} could not be read]`;
  }
  const parsed = v.safeParse(resultSchema, json);
  if (!parsed.success) return `[the value of ${variable} could not be read]`;
  if (parsed.output.kind === 'missing') return `[there is no variable ${variable}]`;
  const text = cutHead(parsed.output.text, valueBytesMax);
  return `${variable} = ${text}${text === parsed.output.text ? '' : ' [cut]'}`;
}

/** Null when it is too large. The program can reach this file: a link is not followed, and a pipe must not hold the worker. */
function readResult(path: string): string | null {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) throw new Error('The result is not a file');
    return stats.size > resultBytesMax ? null : readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** The code is read by the interpreter that will run it, so that both mean the same language. */
async function refuseImports(
  path: string,
  environment: PythonEnvironment,
  run: ToolRun,
  policy: PythonPolicy,
): Promise<string | undefined> {
  if (policy.allowedImports === undefined) return undefined;
  const outcome = await runProcess(
    {
      command: [environment.python, '-I', '-c', importsScript, path, JSON.stringify(policy.allowedImports)],
      cwd: run.workspace,
      environment: environment.variables,
      memoryBytesMax: policy.memoryBytesMax,
    },
    { ...run, onOutput: () => undefined },
  );
  if (!outcome.ok) return outcome.problem;
  if (outcome.end.exitCode === 0) return undefined;
  const allowed = policy.allowedImports.join(', ');
  return `The code was not run. ${outcome.end.output.trim()}\nAllowed imports: ${allowed}`;
}
