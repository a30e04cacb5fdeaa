// A team of three whose members make sixty tool calls, and a worker that is killed again and again meanwhile.
import { createHome } from '../support/binary.ts';
import { type EventView, startLocalServer } from '../support/local-server.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { createRandom } from './random.ts';
import { startStepAgent, type StepAgent, type Trap } from './step-agent.ts';

export interface TeamRunOptions {
  readonly seed: number;
  readonly kills: number;
  readonly say: (line: string) => void;
}

const queue = 'chaos';
const members = ['Ada', 'Bob', 'Cleo'];
const stepsPerMember = 20;
const stepsInAll = members.length * stepsPerMember;
/** How the tools' results and events name a call whose outcome nobody knows. */
const interruptedWords = 'it is not known whether it took effect';
/** Between two tool calls of a member there is about this much beside them, where a kill shall fall as well. */
const spreadMs = 150;
const limitMs = 60_000;

/** Every violation as a sentence. */
export async function runTeam({ seed, kills, say }: TeamRunOptions): Promise<readonly string[]> {
  const home = createHome();
  try {
    const agent = await startStepAgent(home.directory, {
      steps: stepsPerMember,
      pauses: { before: 0.02, after: 0.02 },
      lead: (messages) => {
        if (!messages.some(({ role, content }) => role === 'user' && content.startsWith('lead'))) return undefined;
        const results = messages.filter(({ role }) => role === 'tool').map(({ content }) => content);
        if (results.length > 0) return { type: 'text', text: results.join('; ') };
        const calls = members.map((name) => ({
          name: 'delegate_task_to_member',
          arguments: { member_id: name, task_description: `run ${name}` },
        }));
        return { type: 'calls', calls };
      },
    });
    const server = await startLocalServer({ home });
    const start = async () => {
      const words = ['--model', agent.modelName];
      const worker = await startWorkerProcess({ home, queue, words, environment: agent.environment });
      agent.setWorkers(worker.victims());
      return worker;
    };
    const found: string[] = [];
    let worker = await start();
    try {
      const { skill_ids } = (await server.request('GET', '/api/v1/agents/default')) as { skill_ids: string[] };
      for (const name of members) await server.request('POST', '/api/v1/agents', { name, skill_ids });
      await server.request('POST', '/api/v1/teams', { name: 'crew', configuration: { member_ids: members } });
      const body = { prompt: 'lead', worker_queue_id: queue };
      const answer = await server.request('POST', '/api/v1/teams/crew/execute', body);
      const { execution_id: id } = answer as { execution_id: string };
      const random = createRandom(seed);
      for (let kill = 1; kill <= kills; kill += 1) {
        const wanted = Math.floor((kill * stepsInAll) / (kills + 1));
        await until(() => stepsSeen(agent) >= wanted, {
          limitMs,
          what: () => `${wanted} steps, not ${stepsSeen(agent)}`,
        });
        const how = (['kill_before_effect', 'kill_after_effect', 'none'] as const)[Math.floor(random() * 3)] ?? 'none';
        await killNow(worker, agent, how, random);
        say(`kill ${kill} after ${stepsSeen(agent)} steps: ${how === 'none' ? 'at any moment' : how}`);
        worker = await start();
      }
      const execution = await server.ended(id, limitMs);
      if (execution.status !== 'completed') found.push(`ended ${execution.status}: ${execution.error_message ?? ''}`);
      const expected = members.map((name) => `all ${stepsPerMember} steps of ${name} are over`).join('; ');
      if (execution.response !== expected) found.push(`the leader was told ${execution.response ?? 'nothing'}`);
      found.push(...stepViolations(agent, await server.events(id), kills, say));
    } finally {
      await worker.process.end('SIGTERM');
      await server.stop();
      await agent.model.stop();
    }
    const leftovers = home.processes();
    if (leftovers.length > 0) found.push(`left running: ${leftovers.join(', ')}`);
    return found;
  } finally {
    home.remove();
  }
}

async function killNow(
  worker: Awaited<ReturnType<typeof startWorkerProcess>>,
  agent: StepAgent,
  how: Trap,
  random: () => number,
): Promise<void> {
  if (how === 'none') {
    await new Promise((done) => setTimeout(done, random() * spreadMs));
    worker.kill();
  } else {
    agent.arm(how);
  }
  await until(() => worker.process.hasExited, { limitMs, intervalMs: 5, what: () => `${how} hits` });
}

function stepsSeen({ results }: StepAgent): number {
  return [...results.values()].reduce((sum, seen) => sum + seen.length, 0);
}

function stepViolations(
  agent: StepAgent,
  events: readonly EventView[],
  kills: number,
  say: (line: string) => void,
): readonly string[] {
  const found: string[] = [];
  const ledger = agent.ledger();
  let interrupted = 0;
  for (const name of members) {
    const results = agent.results.get(name) ?? [];
    if (results.length !== stepsPerMember) found.push(`${name} gave its model ${results.length} results`);
    for (let step = 1; step <= stepsPerMember; step += 1) {
      const line = `${name}:${step}`;
      const result = results[step - 1] ?? '';
      const effects = ledger.filter((one) => one === line).length;
      if (effects > 1) found.push(`${line} took effect ${effects} times`);
      if (result.includes(interruptedWords)) interrupted += 1;
      else if (effects !== 1 || !result.includes(`did ${line}`))
        found.push(`${line} has ${effects} effects, and its result is ${JSON.stringify(result)}`);
    }
    const completed = events.filter(
      ({ event_type: type, data }) => type === 'member_tool_completed' && data['member_name'] === name,
    );
    const calls = new Set(completed.map(({ data }) => data['tool_execution_id']));
    if (completed.length !== stepsPerMember || calls.size !== stepsPerMember)
      found.push(`${name} has ${completed.length} ends of ${calls.size} tool calls among the events`);
  }
  say(`${ledger.length} effects, ${interrupted} calls told as interrupted, ${kills} kills`);
  // A kill meets each of three members in at most one call.
  if (interrupted > kills * members.length) found.push(`${interrupted} calls were interrupted by ${kills} kills`);
  if (events.filter(({ event_type: type }) => type === 'done').length !== 1) found.push('not exactly one end');
  return found;
}
