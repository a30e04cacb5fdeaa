// A conversation of many turns with large outputs, against the real server, and the sizes of everything that it leaves.
import { temporal } from '@temporalio/proto';
import { agentWorkflowId } from '../../src/protocol/workflow.ts';
import { startScriptedOpenAi, type ScriptedReply } from '../support/model-servers.ts';
import { connectTemporal, type TemporalProbe } from '../support/temporal-history.ts';
import { until } from '../support/until.ts';
import { queueName, startLab } from './lab.ts';

export interface ConversationSizes {
  readonly turns: number;
  readonly seconds: number;
  /** Workflow runs, each but the last ended by continuing as new. */
  readonly runs: number;
  readonly historyBytesMax: number;
  readonly historyEventsMax: number;
  /** Of one argument or result in the histories. */
  readonly payloadBytesMax: number;
  /** Of the messages in one request to the model. */
  readonly transcriptBytesMax: number;
  readonly summaries: number;
  /** Turns whose answer did not come. */
  readonly lost: number;
}

interface WireMessage {
  readonly role: string;
  readonly content: string;
}

const isSummary = ([system]: readonly WireMessage[]): boolean =>
  system?.content.startsWith('You sum up the conversation') === true;

export async function runConversation(turns: number, outputBytes: number): Promise<ConversationSizes> {
  const seen = { transcriptBytesMax: 0, summaries: 0 };
  const models = await startScriptedOpenAi(({ body }): ScriptedReply => {
    const messages = body['messages'] as WireMessage[];
    const bytes = JSON.stringify(messages).length;
    seen.transcriptBytesMax = Math.max(seen.transcriptBytesMax, bytes);
    const usage = { input: Math.ceil(bytes / 4), output: 20 };
    if (isSummary(messages)) {
      seen.summaries++;
      return { type: 'text', text: 'What has happened so far.', usage };
    }
    const last = messages.at(-1);
    if (last?.role === 'tool') return { type: 'text', text: `answer to ${lastQuestion(messages)}`, usage };
    const command = `head -c ${outputBytes} /dev/zero | tr '\\0' x`;
    return { type: 'calls', calls: [{ name: 'run_shell_command', arguments: { command } }], usage };
  });
  const lab = await startLab({ OPENAI_BASE_URL: models.url, OPENAI_API_KEY: 'sk-scripted' });
  try {
    const startedAt = performance.now();
    const answers = new Set<string>();
    const post = (id: string, verb: string, body?: unknown) =>
      lab.server.request('POST', `/api/v1/executions/${id}/${verb}`, body);
    const request = {
      prompt: 'question 1.',
      worker_queue_id: queueName,
      model_id: 'openai/claude-x',
      is_conversation: true,
    };
    const limits = { turns: 10 * turns, tokens: 1e12, cost_usd: 1e6 };
    const answer = await lab.server.request('POST', '/api/v1/agents/default/execute', { ...request, limits });
    const id = (answer as { execution_id: string }).execution_id;
    for (let turn = 1; turn <= turns; turn++) {
      if (turn > 1) await post(id, 'message', { message: `question ${turn}.`, message_id: `q${turn}` });
      const view = async () => (await lab.server.request('GET', `/api/v1/executions/${id}/session`)) as Session;
      const hasAnswer = async (): Promise<boolean> =>
        (await lab.server.execution(id)).status === 'waiting_for_input' &&
        (await view().catch(() => ({ messages: [] }))).messages.some(({ content }) => content === `answer to ${turn}`);
      await until(hasAnswer, { limitMs: 60_000, intervalMs: 20, what: () => `the answer to ${turn}` });
      answers.add(`answer to ${turn}`);
    }
    await post(id, 'mark-done');
    await lab.server.ended(id, 30_000);
    const seconds = (performance.now() - startedAt) / 1000;
    const histories = await historiesOf(lab.server.temporalAddress, id);
    return { turns, seconds, ...histories, ...seen, lost: turns - answers.size };
  } finally {
    await lab.stop();
    await models.stop();
  }
}

interface Session {
  readonly messages: readonly { readonly content: string }[];
}

function lastQuestion(messages: readonly WireMessage[]): string {
  const asked = messages.findLast(({ role, content }) => role === 'user' && content.startsWith('question '));
  return /question (\d+)\./.exec(asked?.content ?? '')?.[1] ?? '?';
}

async function historiesOf(
  address: string,
  executionId: string,
): Promise<Pick<ConversationSizes, 'runs' | 'historyBytesMax' | 'historyEventsMax' | 'payloadBytesMax'>> {
  const probe = await connectTemporal(address);
  const workflowId = agentWorkflowId(executionId);
  const sizes = { runs: 0, historyBytesMax: 0, historyEventsMax: 0, payloadBytesMax: 0 };
  try {
    for (let runId: string | undefined; sizes.runs === 0 || runId !== undefined;) {
      const all = await eventsOf(probe, { workflowId, ...(runId === undefined ? {} : { runId }) });
      const bytes = all.map((event) => temporal.api.history.v1.HistoryEvent.encode(event).finish().length);
      const historyBytes = bytes.reduce((sum, one) => sum + one, 0);
      sizes.runs++;
      sizes.historyBytesMax = Math.max(sizes.historyBytesMax, historyBytes);
      sizes.historyEventsMax = Math.max(sizes.historyEventsMax, all.length);
      sizes.payloadBytesMax = Math.max(sizes.payloadBytesMax, ...bytes);
      const earlier = all[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId;
      runId = earlier === undefined || earlier === null || earlier === '' ? undefined : earlier;
    }
    return sizes;
  } finally {
    await probe.close();
  }
}

/** In pages that stay below the 4 MB of one gRPC message. */
async function eventsOf(
  { client }: TemporalProbe,
  execution: { readonly workflowId: string; readonly runId?: string },
): Promise<temporal.api.history.v1.IHistoryEvent[]> {
  const all: temporal.api.history.v1.IHistoryEvent[] = [];
  for (let token: Uint8Array | undefined; all.length === 0 || (token !== undefined && token.length > 0);) {
    const page = await client.workflowService.getWorkflowExecutionHistory({
      namespace: 'default',
      execution,
      maximumPageSize: 10,
      ...(token === undefined ? {} : { nextPageToken: token }),
    });
    all.push(...(page.history?.events ?? []));
    token = page.nextPageToken;
  }
  return all;
}
