// One `exec`: find the control plane, the agent and the queue, start the execution, follow it, and clean up whatever happens.
import { resolve } from 'node:path';
import type { Config } from '../../config/config.ts';
import { createControlPlaneClient, type ControlPlaneClient } from '../../controlplane/client.ts';
import { createFetch } from '../../lib/network.ts';
import { createId } from '../../lib/ids.ts';
import type { ExecuteRequest } from '../../protocol/control-plane.ts';
import type { CommandContext } from '../command.ts';
import { connect } from '../connect.ts';
import { usage } from '../flags.ts';
import type { Output } from '../output.ts';
import { chooseModel } from './choose-model.ts';
import { chooseRenderer, type DisplayFlags, type StartFlags } from './flags.ts';
import { followToEnd, interrupted } from './follow.ts';
import { takeInterrupts, type Interrupts } from './interrupts.ts';
import { readPrompt } from './prompt.ts';
import { findAgentId, findQueue } from './target.ts';

/** What both forms of `exec` hand on. */
interface ExecContext extends CommandContext {
  readonly args: StartFlags & DisplayFlags & { readonly prompt: string | undefined };
}

/** Where an execution goes, and what has to be taken down afterwards. */
interface Place {
  readonly client: ControlPlaneClient;
  readonly agentId: string;
  readonly queueId: string;
  readonly workerFailed?: Promise<string>;
  stop(): Promise<void>;
}

/** `agent` as typed; undefined means the default agent. */
export async function runExec(agent: string | undefined, context: ExecContext): Promise<number> {
  const { args: flags, output } = context;
  if (flags.local && flags.detach)
    throw usage('--local ends with its execution, so it cannot be detached', 'flags_conflict', 'leave out one of them');
  if (flags.local && flags.queue !== undefined)
    throw usage(
      '--local uses a queue of its own, so --queue cannot be given',
      'flags_conflict',
      'leave out one of them',
    );
  const createRenderer = chooseRenderer(flags, output, false);
  const config = await context.loadConfig();
  const prompt = await readPrompt({ argument: flags.prompt, file: flags['prompt-file'], cwd: context.cwd });
  const interrupts = await takeInterrupts();
  let place: Place | undefined;
  try {
    place = flags.local
      ? await startPrivatePlace(agent, config, interrupts, output)
      : await findPlace({ agent, queue: flags.queue }, config, interrupts, output);
    const request = { ...requestOf(prompt, config, flags, context.cwd), worker_queue_id: place.queueId };
    const { client } = place;
    const key = flags['idempotency-key'] ?? createId();
    const { executionId, isInterrupted } = await startExecution({ place, request, key }, interrupts, output);
    if (flags.detach && !isInterrupted) return await printDetached(executionId, flags, output);
    // From here on a signal is the follower's: a client that aborts could not cancel.
    return await followToEnd({
      client,
      executionId,
      renderer: createRenderer(executionId),
      interrupts,
      isOwner: true,
      timeoutMs: flags.timeout,
      isInterrupted,
      workerFailed: place.workerFailed,
    });
  } catch (error) {
    throw interrupts.signal.aborted ? interrupted() : error;
  } finally {
    await place?.stop();
    interrupts.dispose();
  }
}

async function findPlace(
  { agent, queue: wantedQueue }: Readonly<Record<'agent' | 'queue', string | undefined>>,
  config: Config,
  interrupts: Interrupts,
  output: Output,
): Promise<Place> {
  const client = await connect(config, interrupts.signal);
  const [agentId, queue] = await Promise.all([findAgentId(client, agent), findQueue(client, config, wantedQueue)]);
  if (queue.active_workers === 0) {
    await output.note(
      `no worker is polling the queue ${queue.name}, so the execution waits: \`kubiya worker start --queue-id ${queue.name}\` starts one`,
    );
  }
  return { client, agentId, queueId: queue.id, stop: () => Promise.resolve() };
}

async function startPrivatePlace(
  agent: string | undefined,
  config: Config,
  interrupts: Interrupts,
  output: Output,
): Promise<Place> {
  const { startEphemeral } = await import('../../processes/ephemeral.ts');
  const start = (chosen: Config) =>
    startEphemeral(chosen, { signal: interrupts.signal, onProgress: (text) => void output.note(text) });
  const ephemeral = await start(config).catch(
    async (error: unknown) => await start(await chooseModel(error, config, output)),
  );
  try {
    const fetchAsConfigured = createFetch(config.network);
    const client = createControlPlaneClient({
      url: ephemeral.url,
      token: ephemeral.token,
      fetch: fetchAsConfigured,
      signal: interrupts.signal,
    });
    const agentId =
      agent === undefined && ephemeral.agentId !== undefined ? ephemeral.agentId : await findAgentId(client, agent);
    const { queueId, failed: workerFailed } = ephemeral;
    return { client, agentId, queueId, workerFailed, stop: () => ephemeral.stop() };
  } catch (error) {
    await ephemeral.stop();
    throw error;
  }
}

interface StartInput {
  readonly place: Place;
  readonly request: ExecuteRequest;
  /** The idempotency key. */
  readonly key: string;
}

/** A request that is cut off may have started an execution that nobody would end, so the first signal waits for its answer. */
async function startExecution(
  { place: { client, agentId }, request, key }: StartInput,
  interrupts: Interrupts,
  output: Output,
): Promise<{ readonly executionId: string; readonly isInterrupted: boolean }> {
  const leave = new AbortController();
  let isInterrupted = false;
  interrupts.setHandler((count) => {
    isInterrupted = true;
    if (count > 1) leave.abort();
    else void output.note('cancelling the execution when it has started; interrupt again to leave at once');
  });
  try {
    const { execution_id: executionId } = await client.executeAgent(agentId, request, key, { signal: leave.signal });
    return { executionId, isInterrupted };
  } catch (error) {
    if (!leave.signal.aborted) throw error;
    throw interrupted('it may have been started all the same: `kubiya execution list` shows it');
  } finally {
    interrupts.setHandler(undefined);
  }
}

function requestOf(prompt: string, config: Config, flags: StartFlags, cwd: string): ExecuteRequest {
  const environment = {
    ...(flags.cwd === undefined ? {} : { working_dir: resolve(cwd, flags.cwd) }),
    ...(flags.timeout === undefined ? {} : { timeout: Math.ceil(flags.timeout / 1000) }),
  };
  return {
    prompt,
    stream: true,
    ...(flags['system-prompt'] === undefined ? {} : { system_prompt: flags['system-prompt'] }),
    ...(config.model === undefined ? {} : { model_id: config.model }),
    ...(config.traceparent === undefined ? {} : { user_metadata: { traceparent: config.traceparent } }),
    ...(Object.keys(environment).length === 0 ? {} : { execution_environment: environment }),
  };
}

async function printDetached(executionId: string, flags: DisplayFlags, output: Output): Promise<number> {
  const isJson = flags.output === 'json' || flags['stream-format'] === 'json';
  await (isJson ? output.printJson({ execution_id: executionId }) : output.print(executionId));
  await output.note(`\`kubiya exec attach ${executionId}\` follows it`);
  return 0;
}
