// The docker program as the skill uses it: started with an argument list, its failure told, images held against registries.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type ProcessEnd, outcomeOf, runProcess } from './run-process.ts';
import { type Attempt, type ToolOutcome, type ToolRun, failure } from './tool.ts';

/** What the shell in front of a program answers when it is not there; a container's own program may answer it as well. */
const notFoundCode = 127;

async function start(argv: readonly string[], run: ToolRun): Promise<Attempt<ProcessEnd>> {
  const outcome = await runProcess({ command: ['docker', ...argv], cwd: run.workspace }, run);
  const isMissing = outcome.ok && outcome.end.exitCode === notFoundCode && !isOnPath(run.environment['PATH'] ?? '');
  if (outcome.ok && !isMissing) return { ok: true, value: outcome.end };
  const reason = outcome.ok ? 'The program docker was not found' : outcome.problem;
  return {
    ok: false,
    problem: `${reason}; the skill docker needs the docker program and a running engine on the worker's machine`,
  };
}

function isOnPath(path: string): boolean {
  return path.split(delimiter).some((directory) => existsSync(join(directory, 'docker')));
}

export async function docker(argv: readonly string[], run: ToolRun): Promise<ToolOutcome> {
  const end = await start(argv, run);
  return end.ok ? outcomeOf(end.value) : failure(end.problem);
}

/** The output of a command whose failure ends the tool. */
export async function call(argv: readonly string[], run: ToolRun): Promise<Attempt<string>> {
  const end = await start(argv, { ...run, onOutput: () => undefined });
  if (!end.ok) return end;
  const { exitCode, output } = end.value;
  return exitCode === 0
    ? { ok: true, value: output }
    : { ok: false, problem: output.trim() || `docker ended with ${exitCode}` };
}

/** `nginx` is docker.io/library/nginx; a first part with a dot, a colon or `localhost` is a registry. */
export function registryRefusal(name: string, registries: readonly string[] | undefined): string | undefined {
  if (registries === undefined) return undefined;
  const [first = '', ...rest] = name.split('/');
  const hasRegistry = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const path = hasRegistry ? name : `docker.io/${rest.length === 0 ? 'library/' : ''}${name}`;
  const full = path.replace(/^index\.docker\.io\//, 'docker.io/').replace(/[@:][^/]*$/, '');
  const isAllowed = registries.some((registry) => {
    const start = registry.replace(/\/+$/, '');
    return full === start || full.startsWith(`${start}/`);
  });
  return isAllowed ? undefined : `Images may only come from ${registries.join(', ')}, and ${name} does not`;
}
