// Records the histories of teams, of their members, of dynamic executions and of scheduled runs: `bun test/replay/record-teams.ts VERSION`.
import { teamWorkflowId, agentWorkflowId, memberExecutionId } from '../../src/protocol/workflow.ts';
import { startLocalServer } from '../support/local-server.ts';
import { startScriptedOpenAi } from '../support/model-servers.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { createRecordingHome, saveHistory } from './recorder.ts';

const version = process.argv[2] ?? 'v1';
const queue = 'recorded';
const limitMs = 30_000;
const members = ['Ada', 'Bob'];

// A leader hands its prompt's command to both members; whoever is given a command runs it once and says so.
const model = await startScriptedOpenAi(({ body }) => {
  const messages = body['messages'] as { role: string; content: string }[];
  const prompt = messages.find(({ role }) => role === 'user')?.content ?? '';
  if (messages.at(-1)?.role === 'tool') return { type: 'text', text: 'It is done.' };
  const lead = /^lead (.*)$/.exec(prompt)?.[1];
  if (lead !== undefined) {
    const tasks = members.map((member) => ({ member_id: member, task_description: `do ${lead}` }));
    return { type: 'calls', calls: tasks.map((task) => ({ name: 'delegate_task_to_member', arguments: task })) };
  }
  const command = /^do (.*)$/.exec(prompt)?.[1] ?? 'true';
  return { type: 'calls', calls: [{ name: 'run_shell_command', arguments: { command } }] };
});
const home = createRecordingHome();
const server = await startLocalServer({ home });
const environment = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'sk-scripted' };
const worker = await startWorkerProcess({ home, queue, words: ['--model', 'openai/x'], environment });
const api = (method: string, path: string, body?: unknown): Promise<unknown> =>
  server.request(method, `/api/v1/${path}`, body);
const save = (name: string, workflowId: string): void => saveHistory(home, server, `${version}-${name}`, workflowId);
try {
  const { skill_ids } = (await api('GET', 'agents/default')) as { skill_ids: string[] };
  for (const name of members) await api('POST', 'agents', { name, skill_ids });
  await api('POST', 'teams', { name: 'crew', configuration: { member_ids: members } });

  const completed = await ended(await lead('lead echo hello'));
  save('team-completed', teamWorkflowId(completed));
  save('member-completed', teamWorkflowId(memberExecutionId(completed, 1)));
  const cancelled = await lead('lead sleep 60');
  await toolsStarted(cancelled);
  await api('POST', `executions/${cancelled}/cancel`);
  save('team-cancelled', teamWorkflowId(await ended(cancelled)));
  save('member-cancelled', teamWorkflowId(memberExecutionId(cancelled, 1)));
  const running = await lead('lead sleep 61');
  await toolsStarted(running);
  await api('POST', `executions/${running}/pause`);
  await until(async () => (await server.execution(running)).status === 'paused', { limitMs });
  // Unfinished: the leader is paused with both of its members.
  save('team-running', teamWorkflowId(running));
  save('member-running', teamWorkflowId(memberExecutionId(running, 1)));

  save('dynamic-completed', agentWorkflowId(await ended(await dynamic('do echo hello'))));
  const waiting = await dynamic('do sleep 62');
  await toolsStarted(waiting, 1);
  save('dynamic-running', agentWorkflowId(waiting));

  const brief = await scheduled('brief', 'do echo hello');
  await ended(brief);
  save('scheduled-completed', await wrapperOf(brief, true));
  const long = await scheduled('long', 'do sleep 63');
  save('scheduled-running', await wrapperOf(long, false));
  for (const id of [running, waiting, long]) await api('POST', `executions/${id}/terminate`, {});
} finally {
  await worker.process.end('SIGTERM');
  await server.stop();
  await model.stop();
  home.remove();
}

async function lead(prompt: string): Promise<string> {
  const started = await api('POST', 'teams/crew/execute', { prompt, worker_queue_id: queue });
  return (started as { execution_id: string }).execution_id;
}

async function dynamic(prompt: string): Promise<string> {
  const entity = { system_prompt: 'You run what you are told.', skill_ids: ['shell'] };
  const started = await api('POST', 'dynamic-executions/execute', { prompt, entity, worker_queue_id: queue });
  return (started as { execution_id: string }).execution_id;
}

/** The first run of a job that is due every second. */
async function scheduled(name: string, prompt: string): Promise<string> {
  await api('POST', 'jobs', { name, prompt, interval_seconds: 1, worker_queue_id: queue });
  const runs = () => api('GET', `jobs/${name}/executions`) as Promise<{ execution_id: string }[]>;
  await until(async () => (await runs()).length > 0, { limitMs });
  await api('PATCH', `jobs/${name}`, { enabled: false });
  return (await runs()).at(-1)?.execution_id ?? '';
}

async function wrapperOf(id: string, hasEnded: boolean): Promise<string> {
  if (!hasEnded) await toolsStarted(id, 1);
  // Its last report comes after the end of its execution.
  else await new Promise((done) => setTimeout(done, 1_000));
  const { execution_metadata: metadata } = (await server.execution(id)) as unknown as {
    execution_metadata: { started_by_workflow: string };
  };
  return metadata.started_by_workflow;
}

async function ended(id: string): Promise<string> {
  await server.ended(id, limitMs);
  return id;
}

async function toolsStarted(id: string, count: number = members.length): Promise<void> {
  const started = async (): Promise<number> =>
    (await server.events(id)).filter(
      ({ event_type: type, data }) => type.endsWith('tool_started') && data['tool_name'] === 'run_shell_command',
    ).length;
  await until(async () => (await started()) >= count, { limitMs, what: () => `${count} tools that have started` });
}
