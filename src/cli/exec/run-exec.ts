// One `exec`: who does it (named, planned, or the default), where, then start, follow, and clean up whatever happens.
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { createId } from '../../lib/ids.ts';
import type { CommandContext } from '../command.ts';
import { connect } from '../connect.ts';
import { usage } from '../flags.ts';
import { chooseRenderings } from './flags.ts';
import { interrupted } from './follow.ts';
import { takeInterrupts } from './interrupts.ts';
import { findPlaces, startPlace, type Place } from './place.ts';
import { approvePlan, makePlan, openPlan, type PlanDeps, type PlannedFlags, refuseUnanswerable } from './plan.ts';
import { readPrompt } from './prompt.ts';
import { requestOf } from './request.ts';
import { runOnPlaces, type Work } from './run-places.ts';
import { type Entity, findEntity, queueNames } from './target.ts';

/** What all forms of `exec` hand on. */
interface ExecContext extends CommandContext {
  readonly args: PlannedFlags & { readonly prompt: string | undefined };
}

/** As typed; undefined leaves the choice to a plan. */
export type NamedEntity = { readonly kind: Entity['kind']; readonly name: string } | undefined;

/** What is to be done and by whom. */
interface Task {
  readonly prompt: string;
  /** Asked of the control plane on which it runs. */
  readonly findEntity: (client: ControlPlaneClient) => Promise<Entity>;
  readonly recommendedQueue?: string | undefined;
  readonly onStart?: (executionId: string) => Promise<void>;
}

export async function runExec(named: NamedEntity, context: ExecContext): Promise<number> {
  const { args: flags, output, cwd } = context;
  checkFlags(flags, output);
  const names = queueNames(flags.queue);
  const renderings = chooseRenderings(flags, output, { showsPrompt: false });
  const config = await context.loadConfig();
  const isPrivate = flags.local && config.profile.kind === 'local';
  // A private control plane has the default agent and nobody else: there is nothing to plan.
  const isPlanned = named === undefined && (!isPrivate || flags['plan-file'] !== undefined);
  const words = { argument: flags.prompt, file: flags['prompt-file'], cwd };
  const prompt = flags['plan-file'] === undefined ? await readPrompt(words) : undefined;
  if (isPlanned) refuseUnanswerable({ flags, output, config });
  const interrupts = await takeInterrupts();
  const deps: PlanDeps = { config, interrupts, output, flags, cwd };
  let places: readonly Place[] = [];
  try {
    const client = isPrivate ? undefined : await connect(config, interrupts.signal);
    const task = await chooseTask({ named, prompt, client }, deps);
    if (task === undefined) return 0;
    const request = requestOf(task.prompt, config, flags, cwd);
    const judgeAnswer = request.output_schema ? await judgeOf(request.output_schema) : undefined;
    let entity = client === undefined ? undefined : await task.findEntity(client);
    const key = flags['idempotency-key'];
    const wish = { names, recommended: task.recommendedQueue, mayProvision: !flags.detach && key === undefined };
    places =
      client === undefined || flags.local ? [await startPlace(client, deps)] : await findPlaces(client, wish, deps);
    const [first] = places;
    if (first !== undefined) entity ??= await task.findEntity(first.client);
    if (entity === undefined) throw new Error('an execution without a place');
    const work = { places, entity, request, key: key ?? createId(), renderings, judgeAnswer, onStart: task.onStart };
    return await runOnPlaces(work, deps);
  } catch (error) {
    throw interrupts.signal.aborted ? interrupted() : error;
  } finally {
    await Promise.all(places.map((place) => place.stop()));
    interrupts.dispose();
  }
}

async function judgeOf(schema: Readonly<Record<string, unknown>>): Promise<Work['judgeAnswer']> {
  const { createAnswerJudge } = await import('../../processes/answer-schema.ts');
  return createAnswerJudge(schema);
}

function checkFlags(
  flags: PlannedFlags & { readonly prompt: string | undefined },
  { isInteractive }: Pick<CommandContext['output'], 'isInteractive'>,
): void {
  const conflict = (message: string): Error => usage(message, 'flags_conflict', 'leave out one of them');
  if (flags.local && flags.detach) throw conflict('--local ends with its execution, so it cannot be detached');
  if (flags.local && flags.queue !== undefined)
    throw conflict('--local uses a queue of its own, so --queue cannot be given');
  if (flags.conversation && !flags.detach && (!isInteractive || flags.queue?.includes(',') === true))
    throw usage(
      'a conversation needs a terminal and one queue',
      'conversation_unattended',
      'add --detach, then use `kubiya execution message` and `kubiya execution done`',
    );
  if (flags['plan-file'] === undefined) return;
  if (flags.prompt !== undefined || flags['prompt-file'] !== undefined)
    throw conflict('--plan-file has its own prompt, so no other can be given');
  if (flags['save-plan'] !== undefined)
    throw conflict('--plan-file is a saved plan already, so --save-plan has nothing to do');
}

interface TaskSources {
  readonly named: NamedEntity;
  /** Undefined when a plan has it. */
  readonly prompt: string | undefined;
  /** Undefined when the control plane will be a private one. */
  readonly client: ControlPlaneClient | undefined;
}

/** Undefined when a plan was all that was asked for. */
async function chooseTask({ named, prompt, client }: TaskSources, deps: PlanDeps): Promise<Task | undefined> {
  if (named !== undefined)
    return { prompt: prompt ?? '', findEntity: async (where) => await findEntity(where, named.kind, named.name) };
  const { 'plan-file': file, 'plan-only': isPlanOnly, 'save-plan': copy } = deps.flags;
  if (client === undefined && (isPlanOnly === true || copy !== undefined)) {
    throw usage(
      'a private control plane has one agent, so there is nothing to plan',
      'nothing_to_plan',
      'leave out --local to plan with the agents of a server',
    );
  }
  if (file === undefined && client === undefined)
    return { prompt: prompt ?? '', findEntity: () => Promise.resolve({ kind: 'agent', id: 'default' }) };
  const kept =
    file === undefined && client !== undefined
      ? await makePlan(prompt ?? '', client, deps)
      : await openPlan(file ?? '', deps);
  if (!(await approvePlan(kept, deps))) return undefined;
  const { entity_type, entity_id, entity_name, recommended_worker_queue_id } = kept.plan.recommended_execution;
  const kind = entity_type.toLowerCase() === 'team' ? 'team' : 'agent';
  return {
    prompt: kept.prompt,
    // A plan of another control plane knows the same agent by another id.
    findEntity: async (where) => {
      const all = await (kind === 'team' ? where.listTeams() : where.listAgents());
      const isThere = all.some(({ id }) => id === entity_id);
      return isThere ? { kind, id: entity_id } : await findEntity(where, kind, entity_name ?? entity_id);
    },
    recommendedQueue: recommended_worker_queue_id ?? undefined,
    onStart: (executionId) => kept.note({ executed_at: new Date().toISOString(), execution_id: executionId }),
  };
}
