// Follows an execution on the screen: signals, time limit, a server that goes away, and the exit code of the outcome.
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { followExecution } from '../../controlplane/stream.ts';
import type { FollowedEvent } from '../../controlplane/followed-event.ts';
import { parseServerTime } from '../../controlplane/time.ts';
import { type ErrorKind, exitCodes, KubiyaError, messageOf } from '../../errors.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { Execution } from '../../protocol/control-plane.ts';
import type { Output } from '../output.ts';
import type { Outcome, Renderer } from '../render/renderer.ts';
import { answerApproval } from './approvals.ts';
import { askNextMessage } from './conversation.ts';
import type { Interrupts } from './interrupts.ts';
import { createLookahead, type Lookahead } from './lookahead.ts';

/** A cancel has to reach the worker, end a tool's process group (5 s of grace) and be reported; after this nobody answers. */
const cancelWaitMsMax = 60_000;

export interface FollowInput {
  readonly client: ControlPlaneClient;
  readonly executionId: string;
  readonly renderer: Renderer;
  readonly interrupts: Interrupts;
  /** True for an execution of this command: its end is ours to bring about. */
  readonly isOwner: boolean;
  readonly timeoutMs: number | undefined;
  /** True when the user asked for the end while the execution was being started. */
  readonly isInterrupted?: boolean;
  /** Resolves with the reason when the only worker of the execution has died. */
  readonly workerFailed?: Promise<string> | undefined;
  /** Where a person can be asked for an approval. */
  readonly questions?: Output['questions'] | undefined;
  /** After an answer the person is asked for the next message. */
  readonly isConversation?: boolean | undefined;
  /** Judges the answer of an execution that has completed (`--output-schema`). */
  readonly judgeAnswer?: ((answer: string) => { json: string } | { problem: string }) | undefined;
}

/** What the worker's error event said, not yet looked at. */
interface Failure {
  readonly type: unknown;
  readonly hint: unknown;
}

/** Why the end was brought about from here; undefined while nobody asked for it. */
type Ending = 'interrupted' | 'timeout';

/** What the events have told so far of how it will end. */
interface Seen {
  failure: Failure | undefined;
  /** Somebody said no to a call, or nobody answered in time. */
  isDenied: boolean;
}

export async function followToEnd(input: FollowInput): Promise<number> {
  const { client, executionId, renderer, interrupts, isOwner, timeoutMs } = input;
  const startedMs = performance.now();
  const leave = new AbortController();
  /** Takes a question off the screen: its person may be gone with the terminal. */
  const unasked = new AbortController();
  const seen: Seen = { failure: undefined, isDenied: false };
  let ending: Ending | undefined;
  let death: string | undefined;
  let cancelTimer: ReturnType<typeof setTimeout> | undefined;

  const end = async (reason: Ending, notice: string): Promise<void> => {
    if (ending !== undefined) return;
    ending = reason;
    unasked.abort();
    cancelTimer = setTimeout(() => leave.abort(), cancelWaitMsMax);
    await renderer.notice(notice);
    await cancel(client, executionId, renderer);
  };
  const timeoutTimer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(
          () => void end('timeout', `the limit of ${formatDuration(timeoutMs)} is over, cancelling the execution`),
          timeoutMs,
        );
  const onInterrupt = (count: number): void => {
    if (isOwner && count === 1)
      return void end('interrupted', 'cancelling the execution; interrupt again to leave at once');
    ending ??= 'interrupted';
    unasked.abort();
    leave.abort();
  };
  const removeHandler = interrupts.addHandler((count) => onInterrupt(input.isInterrupted === true ? count + 1 : count));
  if (input.isInterrupted === true) onInterrupt(1);
  void input.workerFailed?.then((reason) => {
    death = reason;
    unasked.abort();
    leave.abort();
  });
  try {
    const events = createLookahead(
      followExecution(client, executionId, {
        signal: leave.signal,
        onConnection: (state, reason) => void renderer.notice(connectionNotice(state, reason)),
      }),
    );
    for (;;) {
      const next = await events.next();
      if (next.done === true)
        return await finish(input, next.value, { ending, seen, durationMs: performance.now() - startedMs });
      await renderer.event(next.value);
      const turn = await react(input, next.value, { seen, events, unasked: unasked.signal });
      if (turn === 'left') onInterrupt(1);
      if (turn === 'waits') return await leaveRunning(input, 'the execution waits for input');
    }
  } catch (error) {
    if (!leave.signal.aborted) throw error;
    if (death !== undefined && ending === undefined) {
      await renderer.pause();
      throw workerDied(death);
    }
    await leaveRunning(input, isOwner ? 'left before the execution ended' : 'detached, the execution goes on');
    return ending === 'timeout' ? exitCodes.timeout : exitCodes.interrupted;
  } finally {
    clearTimeout(cancelTimer);
    clearTimeout(timeoutTimer);
    removeHandler();
  }
}

interface Reaction {
  readonly seen: Seen;
  readonly events: Lookahead<FollowedEvent, unknown>;
  readonly unasked: AbortSignal;
}

/** `left`: the person pressed Ctrl+C at a question. `waits`: there is nothing more to see for now. */
async function react(
  input: FollowInput,
  event: FollowedEvent,
  { seen, events, unasked }: Reaction,
): Promise<'goes_on' | 'left' | 'waits'> {
  const { client, executionId, renderer, isOwner, questions } = input;
  const { type, data } = event;
  switch (type) {
    case 'error':
      seen.failure = { type: data['error_type'], hint: data['hint'] };
      return 'goes_on';
    case 'approval_requested': {
      await renderer.pause();
      const answer = await answerApproval({ client, executionId, questions, unasked }, event, events);
      if (typeof answer === 'object') await renderer.notice(answer.notice);
      return answer === 'left' ? 'left' : 'goes_on';
    }
    case 'approval_resolved':
      seen.isDenied ||= data['status'] === 'rejected' || data['status'] === 'expired';
      return 'goes_on';
    case 'status':
      if (String(data['status']).toLowerCase() !== 'waiting_for_input') return 'goes_on';
      // One prompt, one answer: a chat that waits for more would wait for ever. A follower only stops to look.
      if (!isOwner) return 'waits';
      return await goOn(input, unasked);
    default:
      return 'goes_on';
  }
}

/** One prompt has one answer; a conversation goes on until the person ends it. */
async function goOn(
  { client, executionId, renderer, questions, isConversation }: FollowInput,
  unasked: AbortSignal,
): Promise<'goes_on' | 'left'> {
  if (isConversation === true && questions !== undefined) {
    await renderer.pause();
    const next = await askNextMessage(questions, unasked);
    // The cancel is under way; the stream tells the end.
    if (unasked.aborted) return 'goes_on';
    if (next === 'left') return 'left';
    if (next !== 'done') {
      await client.sendMessage(executionId, next);
      return 'goes_on';
    }
  }
  await client.markDone(executionId);
  return 'goes_on';
}

async function leaveRunning({ renderer, executionId }: FollowInput, sentence: string): Promise<number> {
  await renderer.notice(`${sentence}: \`kubiya exec attach ${executionId}\` follows it`);
  return 0;
}

/** Never throws: what it could not do is said, and the stream still tells the true end. */
async function cancel(client: ControlPlaneClient, executionId: string, renderer: Renderer): Promise<void> {
  try {
    const answer = await client.cancelExecution(executionId);
    // It ended by itself at the same moment: the stream says how.
    if (!answer.success && answer.error !== undefined && answer.error !== null)
      await renderer.notice(`not cancelled: ${answer.error}`);
  } catch (error) {
    await renderer.notice(`not cancelled: ${messageOf(error)}`);
  }
}

function connectionNotice(state: 'lost' | 'restored', reason: string): string {
  return state === 'lost'
    ? `the connection to the control plane is lost (${reason}), trying again`
    : 'the connection to the control plane is back';
}

interface Ended {
  readonly ending: Ending | undefined;
  readonly seen: Seen;
  readonly durationMs: number;
}

async function finish(
  { executionId, renderer, isOwner, timeoutMs, judgeAnswer }: FollowInput,
  execution: Execution,
  { ending, seen, durationMs }: Ended,
): Promise<number> {
  const ended = outcomeOf(executionId, execution, isOwner ? durationMs : undefined);
  const outcome = judgeAnswer === undefined || ended.status !== 'completed' ? ended : judged(ended, judgeAnswer);
  const hint = seen.failure?.hint;
  await renderer.finish(outcome.error !== undefined && typeof hint === 'string' ? { ...outcome, hint } : outcome);
  if (outcome.status === 'completed') return 0;
  if (ending !== undefined) return exitCodes[ending];
  const kind = kindOf(seen);
  // The worker was told the same limit and may have seen it a moment before us.
  return exitCodes[kind === 'limit' && timeoutMs !== undefined && outcome.durationMs >= timeoutMs ? 'timeout' : kind];
}

function judged(outcome: Outcome, judge: NonNullable<FollowInput['judgeAnswer']>): Outcome {
  const judgement = judge(outcome.response);
  if ('json' in judgement) return { ...outcome, response: judgement.json };
  return { ...outcome, status: 'failed', error: `the answer does not match the schema: ${judgement.problem}` };
}

/** `error_type` of the worker's error events, which are kinds of ours where it knows one. */
function kindOf({ failure, isDenied }: Seen): ErrorKind {
  switch (failure?.type) {
    case 'authentication':
    case 'configuration':
    case 'limit':
    case 'denied':
    case 'timeout':
      return failure.type;
    default:
      return isDenied ? 'denied' : 'agent_failed';
  }
}

/** The server's own times tell the duration of an execution that started before this command. */
export function outcomeOf(executionId: string, execution: Execution, measuredMs: number | undefined): Outcome {
  const startMs = parseServerTime(execution.started_at) ?? parseServerTime(execution.created_at);
  const endMs = parseServerTime(execution.completed_at) ?? parseServerTime(execution.updated_at);
  const recordedMs = startMs === undefined || endMs === undefined ? 0 : Math.max(0, endMs - startMs);
  const usage = Object.entries(execution.usage ?? {}).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  );
  const { cost_usd: costUsd, ...tokens } = Object.fromEntries(usage);
  const error = execution.error_message ?? '';
  return {
    executionId,
    status: execution.status.toLowerCase(),
    response: execution.response ?? '',
    error: error === '' ? undefined : error,
    hint: undefined,
    durationMs: Math.round(measuredMs ?? recordedMs),
    usage: tokens,
    costUsd,
    isCostEstimated: execution.usage?.['is_cost_estimated'] === true,
  };
}

function workerDied(reason: string): KubiyaError {
  return new KubiyaError(`the worker of this execution has died: ${reason}`, {
    kind: 'agent_failed',
    code: 'worker_died',
    hint: 'run it again with KUBIYA_DEBUG=true to see the log of the worker',
  });
}

/** For errors that are thrown after the user has asked to leave: the interrupt is the outcome then. */
export function interrupted(hint?: string): KubiyaError {
  return new KubiyaError('interrupted', { kind: 'interrupted', code: 'interrupted', hint });
}
