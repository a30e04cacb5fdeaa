// The docker program as the skill uses it: started with an argument list, its failure told, images held against registries.
import { type ProcessOutcome, outcomeOf, runProcess } from './run-process.ts';
import { type Attempt, type ToolOutcome, type ToolRun, failure } from './tool.ts';

function start(argv: readonly string[], run: ToolRun): Promise<ProcessOutcome> {
  return runProcess({ command: ['docker', ...argv], cwd: run.workspace }, run);
}

export async function docker(argv: readonly string[], run: ToolRun): Promise<ToolOutcome> {
  const outcome = await start(argv, run);
  return outcome.ok ? outcomeOf(outcome.end) : failure(missing(outcome.problem));
}

/** The output of a command whose failure ends the tool. */
export async function call(argv: readonly string[], run: ToolRun): Promise<Attempt<string>> {
  const outcome = await start(argv, { ...run, onOutput: () => undefined });
  if (!outcome.ok) return { ok: false, problem: missing(outcome.problem) };
  const { exitCode, output } = outcome.end;
  return exitCode === 0
    ? { ok: true, value: output }
    : { ok: false, problem: output.trim() || `docker ended with ${exitCode}` };
}

function missing(problem: string): string {
  return `${problem}; the skill docker needs the docker program and a running engine on the worker's machine`;
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
