// Starts one execution on each place and follows them to their ends, several side by side under the names of their queues.
import type { ExecuteRequest } from '../../protocol/control-plane.ts';
import type { Output } from '../output.ts';
import { withSummary } from '../render/ci.ts';
import type { DisplayFlags, Renderings } from './flags.ts';
import { type FollowInput, followToEnd, interrupted } from './follow.ts';
import type { Interrupts } from './interrupts.ts';
import type { Place } from './place.ts';
import type { PlanDeps } from './plan.ts';
import type { Entity } from './target.ts';

export interface Work {
  readonly places: readonly Place[];
  readonly entity: Entity;
  /** Everything but the queue. */
  readonly request: ExecuteRequest;
  /** The idempotency key. */
  readonly key: string;
  readonly renderings: Renderings;
  readonly judgeAnswer: FollowInput['judgeAnswer'];
  readonly onStart?: ((executionId: string) => Promise<void>) | undefined;
}

/** The exit code: of several the highest, so that a failure is not hidden by a success. */
export async function runOnPlaces(work: Work, deps: PlanDeps): Promise<number> {
  const { places } = work;
  const isOne = places.length === 1;
  const results = await Promise.allSettled(
    places.map(async (place) => await runOnPlace(work, place, isOne ? undefined : place.queueName, deps)),
  );
  await work.renderings.end();
  const codes = results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
  return Math.max(...codes);
}

/** `name` is set where others run beside it. */
async function runOnPlace(work: Work, place: Place, name: string | undefined, deps: PlanDeps): Promise<number> {
  const { flags, interrupts, output, config } = deps;
  const key = name === undefined ? work.key : `${work.key}/${name}`;
  const request = { ...work.request, worker_queue_id: place.queueId };
  const { executionId, isInterrupted } = await startExecution(
    { place, entity: work.entity, request, key },
    interrupts,
    output,
  );
  await work.onStart?.(executionId);
  if (flags.detach && !isInterrupted) return await printDetached(executionId, flags, output);
  // From here on a signal is the follower's: a client that aborts could not cancel.
  return await followToEnd({
    client: place.client,
    executionId,
    renderer: withSummary(work.renderings.create(executionId, name), output),
    interrupts,
    isOwner: true,
    timeoutMs: flags.timeout,
    isInterrupted,
    workerFailed: place.workerFailed,
    // Two questions at once cannot be answered.
    questions: output.isInteractive && !config.isNonInteractive && name === undefined ? output.questions : undefined,
    isConversation: flags.conversation,
    judgeAnswer: work.judgeAnswer,
  });
}

interface StartInput {
  readonly place: Place;
  readonly entity: Entity;
  readonly request: ExecuteRequest;
  readonly key: string;
}

/** A request that is cut off may have started an execution that nobody would end, so the first signal waits for its answer. */
async function startExecution(
  { place: { client }, entity, request, key }: StartInput,
  interrupts: Interrupts,
  output: Output,
): Promise<{ readonly executionId: string; readonly isInterrupted: boolean }> {
  const leave = new AbortController();
  let isInterrupted = false;
  const removeHandler = interrupts.addHandler((count) => {
    isInterrupted = true;
    if (count > 1) leave.abort();
    else void output.note('cancelling the execution when it has started; interrupt again to leave at once');
  });
  try {
    const execute = entity.kind === 'team' ? client.executeTeam : client.executeAgent;
    const { execution_id: executionId } = await execute(entity.id, request, key, { signal: leave.signal });
    return { executionId, isInterrupted };
  } catch (error) {
    if (!leave.signal.aborted) throw error;
    throw interrupted('it may have been started all the same: `kubiya execution list` shows it');
  } finally {
    removeHandler();
  }
}

async function printDetached(executionId: string, flags: DisplayFlags, output: Output): Promise<number> {
  const isJson = flags.output === 'json' || flags['stream-format'] === 'json';
  await (isJson ? output.printJson({ execution_id: executionId }) : output.print(executionId));
  await output.note(`\`kubiya exec attach ${executionId}\` follows it`);
  return 0;
}
