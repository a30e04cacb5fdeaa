// The virtual environment that the Python tools of one queue share: created at first use, repaired, kept to requirements.txt.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { withDirectoryLock } from './directory-lock.ts';
import { fileProblem } from './paths.ts';
import { type ProcessOutcome, runProcess } from './run-process.ts';
import type { Attempt, ToolRun } from './tool.ts';

export interface PythonEnvironment {
  /** The interpreter of the virtual environment. */
  readonly python: string;
  /** What its children get on top of the call's environment. */
  readonly variables: Readonly<Record<string, string>>;
}

/** From here on every interpreter has what our scripts and pip's releases need. */
const versionMin = [3, 8] as const;
/** A requirements file is a list of names; more is not one. */
const requirementsBytesMax = 1024 * 1024;
/** Written last: without it a creation was interrupted. */
const completeName = '.kubiya-complete';
const requirementsStampName = '.kubiya-requirements';

/** Ready to use; creating it takes seconds, finding it takes none. */
export async function preparePython(run: ToolRun): Promise<Attempt<PythonEnvironment>> {
  const environment = environmentIn(run);
  try {
    if (isHealthy(run) && isUpToDate(run)) return { ok: true, value: environment };
    return await underLock(run, async () => {
      const created = isHealthy(run) ? undefined : await createVenv(run);
      const problem = created ?? (isUpToDate(run) ? undefined : await installRequirements(run, environment));
      return problem === undefined ? { ok: true, value: environment } : { ok: false, problem };
    });
  } catch (error) {
    return { ok: false, problem: fileProblem(error, run.python.directory) };
  }
}

/**
 * Installs into the environment while nobody else changes it, with uv if it is wanted and there, else with pip.
 * `requirement` is never read as an option.
 */
export async function installPackage(
  requirement: string,
  run: ToolRun,
  { prefersUv }: { readonly prefersUv: boolean },
): Promise<Attempt<ProcessOutcome>> {
  const prepared = await preparePython(run);
  if (!prepared.ok) return prepared;
  const { python, variables } = prepared.value;
  const look = prefersUv ? await runQuietly(['uv', '--version'], run) : undefined;
  const hasUv = look?.ok === true && look.end.exitCode === 0;
  const uv = {
    command: ['uv', 'pip', 'install', '--python', python, '--', requirement],
    cwd: run.python.directory,
    environment: variables,
  };
  const install = () => runProcess(hasUv ? uv : pipCommand(run, prepared.value, ['--', requirement]), run);
  try {
    return await underLock(run, async () => {
      const check = await runQuietly([prepared.value.python, '-m', 'pip', '--version'], run);
      const broken = check.ok && check.end.exitCode !== 0 ? await createVenv(run) : undefined;
      return broken === undefined ? { ok: true, value: await install() } : { ok: false, problem: broken };
    });
  } catch (error) {
    return { ok: false, problem: fileProblem(error, run.python.directory) };
  }
}

function venvOf(run: ToolRun): string {
  return join(run.python.directory, 'venv');
}

const isWindows = process.platform === 'win32';

function programIn(venv: string, name: string): string {
  return isWindows ? join(venv, 'Scripts', `${name}.exe`) : join(venv, 'bin', name);
}

function environmentIn(run: ToolRun): PythonEnvironment {
  const venv = venvOf(run);
  const python = programIn(venv, 'python');
  const path = [join(python, '..'), run.environment['PATH'] ?? ''].filter((item) => item !== '').join(delimiter);
  return {
    python,
    variables: {
      VIRTUAL_ENV: venv,
      PATH: path,
      PYTHONUNBUFFERED: '1',
      PYTHONNOUSERSITE: '1',
      PYTHONIOENCODING: 'utf-8',
    },
  };
}

/** Looks instead of starting an interpreter, because it happens before every call. */
function isHealthy(run: ToolRun): boolean {
  const venv = venvOf(run);
  const needed = [programIn(venv, 'python'), programIn(venv, 'pip'), join(venv, completeName)];
  return needed.every((path) => existsSync(path)) && libraryDirectories(venv).some((path) => existsSync(path));
}

function libraryDirectories(venv: string): string[] {
  if (isWindows) return [join(venv, 'Lib', 'site-packages', 'pip', '__init__.py')];
  const library = join(venv, 'lib');
  if (!existsSync(library)) return [];
  return readdirSync(library).map((name) => join(library, name, 'site-packages', 'pip', '__init__.py'));
}

function isUpToDate(run: ToolRun): boolean {
  return readOrEmpty(join(venvOf(run), requirementsStampName)) === requirementsHash(run);
}

function requirementsHash(run: ToolRun): string {
  const text = readOrEmpty(join(run.python.directory, 'requirements.txt'));
  return text.trim() === '' ? '' : createHash('sha256').update(text).digest('hex');
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(0, requirementsBytesMax);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return '';
    throw error;
  }
}

async function underLock<TValue>(run: ToolRun, work: () => Promise<Attempt<TValue>>): Promise<Attempt<TValue>> {
  mkdirSync(run.python.directory, { recursive: true });
  const result = await withDirectoryLock(join(run.python.directory, 'venv.lock'), run.signal, work);
  return result ?? { ok: false, problem: 'Stopped while waiting for another call that changes the Python environment' };
}

/** The problem, or undefined when the environment is there. */
async function createVenv(run: ToolRun): Promise<string | undefined> {
  const base = await findPython(run);
  if (!base.ok) return base.problem;
  run.onOutput('Creating the Python environment of this queue …\n');
  const outcome = await runQuietly([base.value, '-m', 'venv', '--clear', venvOf(run)], run);
  if (!outcome.ok) return outcome.problem;
  if (outcome.end.exitCode !== 0) return `The Python environment could not be created: ${outcome.end.output.trim()}`;
  writeFileAtomic(join(venvOf(run), completeName), '');
  return undefined;
}

async function findPython(run: ToolRun): Promise<Attempt<string>> {
  const script = 'import sys; print(*sys.version_info[:2]); import venv, ensurepip';
  let old: string | undefined;
  for (const program of ['python3', 'python']) {
    const outcome = await runQuietly([program, '-c', script], run);
    const version = outcome.ok ? /^(\d+) (\d+)$/m.exec(outcome.end.output) : null;
    if (!outcome.ok || version === null) continue;
    const [major, minor] = [Number(version[1]), Number(version[2])];
    if (major < versionMin[0] || (major === versionMin[0] && minor < versionMin[1])) {
      old = `${major}.${minor}`;
    } else if (outcome.end.exitCode === 0) {
      return { ok: true, value: program };
    } else {
      return {
        ok: false,
        problem: `Python ${major}.${minor} lacks its venv module; install python3-venv on the worker`,
      };
    }
  }
  const found = old === undefined ? 'there is none on the PATH' : `only ${old} is on the PATH`;
  return {
    ok: false,
    problem: `Python tools need Python ${versionMin.join('.')} or newer, and ${found} of the worker`,
  };
}

async function installRequirements(run: ToolRun, environment: PythonEnvironment): Promise<string | undefined> {
  const stamp = join(venvOf(run), requirementsStampName);
  const hash = requirementsHash(run);
  if (hash !== '') {
    run.onOutput('Installing requirements.txt …\n');
    const list = join(run.python.directory, 'requirements.txt');
    const outcome = await runProcess(pipCommand(run, environment, ['-r', list]), run);
    if (!outcome.ok) return outcome.problem;
    if (outcome.end.exitCode !== 0) return `requirements.txt could not be installed:\n${outcome.end.output.trim()}`;
  }
  writeFileAtomic(stamp, hash);
  return undefined;
}

function pipCommand(run: ToolRun, environment: PythonEnvironment, what: readonly string[]) {
  const options = ['--disable-pip-version-check', '--no-input', '--progress-bar', 'off'];
  return {
    command: [environment.python, '-m', 'pip', 'install', ...options, ...what],
    cwd: run.python.directory,
    environment: environment.variables,
  };
}

function runQuietly(command: readonly string[], run: ToolRun): Promise<ProcessOutcome> {
  return runProcess({ command, cwd: run.python.directory }, { ...run, onOutput: () => undefined });
}
