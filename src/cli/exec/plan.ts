// `kubiya exec "<prompt>"`: who is to do it is planned, shown, approved and kept in a file; what runs is the prompt as it was typed.
import { resolve } from 'node:path';
import * as v from 'valibot';
import type { Config } from '../../config/config.ts';
import { keepPlan, planFileOf, writePlan } from '../../config/plans.ts';
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { KubiyaError, messageOf } from '../../errors.ts';
import { type Plan, type PlanRequest, planRequestSchema, type SavedPlan } from '../../protocol/planner.ts';
import { mayDo } from '../confirm.ts';
import { usage } from '../flags.ts';
import { jsonText, type Output } from '../output.ts';
import { planText } from '../render/plan.ts';
import type { DisplayFlags, PlanFlags, StartFlags } from './flags.ts';
import { interrupted } from './follow.ts';
import type { Interrupts } from './interrupts.ts';
import { loadPlan } from './plan-source.ts';
import { followPlanProgress } from './plan-progress.ts';
import { askQuestions } from './plan-questions.ts';

export type PlannedFlags = StartFlags & DisplayFlags & Partial<PlanFlags>;

export interface PlanDeps {
  readonly config: Config;
  readonly interrupts: Interrupts;
  readonly output: Output;
  readonly flags: PlannedFlags;
  readonly cwd: string;
}

/** A plan with the files that keep it. */
export interface KeptPlan {
  readonly plan: Plan;
  readonly prompt: string;
  /** False when it was the only choice there was, which is not worth a question. */
  readonly isChoice: boolean;
  /** Writes down what became of it; a file that cannot be written is said, nothing more. */
  note(changes: Partial<SavedPlan>): Promise<void>;
}

/** Planned by the control plane; by rules here when it has no planner, or when there is one choice only. */
export async function makePlan(prompt: string, client: ControlPlaneClient, deps: PlanDeps): Promise<KeptPlan> {
  const { flags, output } = deps;
  const request = await gather(prompt, client, deps);
  const choices = request.agents.length + request.teams.length;
  if (choices === 0) {
    throw new KubiyaError('there is no agent yet', {
      kind: 'usage',
      code: 'agent_not_chosen',
      hint: 'create one with `kubiya agent create --name default`',
    });
  }
  const { planLocally } = await import('../../processes/plan-rules.ts');
  const isOnlyChoice = choices === 1 && request.quick_mode === true;
  const local = isOnlyChoice ? planLocally(request, '') : undefined;
  const plan = local ?? (await planRemotely(client, request, deps));
  const answers = await askQuestions(plan, { output, mayAsk: mayAsk(deps), signal: deps.interrupts.signal });
  const final = answers === undefined ? plan : await planRemotely(client, { ...request, ...answers.refinement }, deps);
  // The answers are words of the person as well.
  const words = answers === undefined ? prompt : `${prompt}\n\n${answers.text}`;
  const saved: SavedPlan = { plan: final, prompt: words, saved_at: new Date().toISOString(), approved: false };
  const own = planFileOf(deps.config.paths, final.plan_id ?? '');
  const copy = flags['save-plan'] === undefined ? undefined : resolve(deps.cwd, flags['save-plan']);
  const kept = keeper(saved, { own, copy }, deps);
  await kept.note({});
  return { ...kept, isChoice: !isOnlyChoice };
}

/** The plan of `--plan-file`. */
export async function openPlan(source: string, deps: PlanDeps): Promise<KeptPlan> {
  const { saved, path } = await loadPlan(source, deps.config, deps.cwd);
  if (saved.executed_at)
    await deps.output.note(`this plan was executed before, at ${deps.output.stderr.foreign(saved.executed_at)}`);
  return { ...keeper(saved, { own: undefined, copy: path }, deps), isChoice: true };
}

/** Shows it and asks. True when it is to be run. */
export async function approvePlan(kept: KeptPlan, deps: PlanDeps): Promise<boolean> {
  const { flags, output } = deps;
  const isJsonStream = flags['stream-format'] === 'json';
  if (flags['plan-only'] === true) {
    await printPlan(kept.plan, flags, output);
    return false;
  }
  if (isJsonStream && kept.isChoice) await output.stdout.write(planLine({ type: 'plan', plan: kept.plan }));
  else if (kept.isChoice) await output.note(planText(kept.plan, output.stderr));
  const isApproved = await mayDo(output, {
    doing: 'running a plan',
    question: 'Run it?',
    isYes: flags.yes || !kept.isChoice,
    mayAsk: mayAsk(deps),
    signal: deps.interrupts.signal,
  });
  if (isApproved) {
    await kept.note({ approved: true, approved_at: new Date().toISOString() });
    return true;
  }
  throw new KubiyaError('the plan was not approved, so nothing was started', {
    kind: 'denied',
    code: 'plan_not_approved',
  });
}

/** A command line that would have to ask where nobody can answer is refused before anything is asked of a model. */
export function refuseUnanswerable(deps: Pick<PlanDeps, 'flags' | 'output' | 'config'>): void {
  const { flags } = deps;
  if (flags.yes || flags['plan-only'] === true || mayAsk(deps)) return;
  if (flags['plan-file'] !== undefined)
    throw usage('running a plan needs a confirmation', 'confirmation_required', 'add --yes');
  throw usage(
    'a prompt without an agent is planned first, and the plan needs a confirmation',
    'confirmation_required',
    'add --yes, or name who does it: `kubiya exec agent <name> "<prompt>"`',
  );
}

const mayAsk = ({ output, config }: Pick<PlanDeps, 'output' | 'config'>): boolean =>
  output.isInteractive && !config.isNonInteractive;

async function gather(prompt: string, client: ControlPlaneClient, { config, flags }: PlanDeps): Promise<PlanRequest> {
  /** What a control plane does not have cannot be chosen. */
  const orNone = async <T>(list: Promise<readonly T[]>): Promise<readonly T[]> =>
    await list.catch((error: unknown) => {
      if (error instanceof KubiyaError && error.kind === 'api_refused') return [];
      throw error;
    });
  const [agents, teams, environments, queues] = await Promise.all([
    client.listAgents(),
    orNone(client.listTeams()),
    orNone(client.listEnvironments()),
    client.listQueues(),
  ]);
  const mode = flags['plan-mode'] ?? (flags.yes ? 'quick' : 'full');
  return v.parse(planRequestSchema, {
    description: prompt,
    agents,
    teams,
    environments,
    worker_queues: queues,
    quick_mode: mode === 'quick',
    ...(flags.priority === undefined ? {} : { priority: flags.priority }),
    ...(config.model === undefined ? {} : { model_id: config.model }),
  });
}

async function planRemotely(client: ControlPlaneClient, request: PlanRequest, deps: PlanDeps): Promise<Plan> {
  const { interrupts, output } = deps;
  try {
    const plan = await followPlanProgress(client, request, {
      output,
      signal: interrupts.signal,
      isJsonStream: deps.flags['stream-format'] === 'json',
      isVerbose: deps.flags.verbose,
    });
    return plan.plan_id ? plan : { ...plan, plan_id: crypto.randomUUID() };
  } catch (error) {
    if (interrupts.signal.aborted) throw interrupted();
    if (!(error instanceof KubiyaError) || error.kind === 'authentication') throw error;
    const { planLocally } = await import('../../processes/plan-rules.ts');
    const plan = planLocally(request, `The planner of ${client.url} made no plan: ${error.message}.`);
    if (plan === undefined) throw error;
    await output.note(`the planner made no plan (${output.stderr.foreign(error.message)}), so rules choose`);
    return plan;
  }
}

function keeper(
  saved: SavedPlan,
  { own, copy }: { readonly own: string | undefined; readonly copy: string | undefined },
  { config, output }: PlanDeps,
): Omit<KeptPlan, 'isChoice'> {
  let current = saved;
  return {
    plan: saved.plan,
    prompt: saved.prompt,
    note: async (changes) => {
      current = { ...current, ...changes };
      try {
        if (own !== undefined) keepPlan(own, current, config.paths);
        if (copy !== undefined) writePlan(copy, current);
      } catch (error) {
        await output.note(`the plan was not saved: ${messageOf(error)}`);
      }
    },
  };
}

async function printPlan(plan: Plan, flags: PlannedFlags, output: Output): Promise<void> {
  if (flags.output === 'json' || flags['stream-format'] === 'json') return await output.printJson(plan);
  if (flags.output === 'yaml') {
    const { stringify } = await import('yaml');
    return await output.stdout.write(output.stdout.foreign(stringify(plan)));
  }
  await output.print(planText(plan, output.stdout));
}

function planLine(body: Readonly<Record<string, unknown>> & { readonly type: 'plan' }): string {
  const { type, ...rest } = body;
  return `${jsonText({ type, timestamp: new Date().toISOString(), ...rest })}\n`;
}
