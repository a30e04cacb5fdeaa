// What a control plane that hangs costs a turn: two workers run the same turns at once, and the control plane of one hangs for two minutes.
import { createLab, type Server } from './support/lab.ts';
import { queueId, startExecution } from './support/execution.ts';
import { createReport, quantile } from './support/report.ts';

/** At one turn in half a second as long as the hang, and below an execution's limit of turns. */
const turns = 230;
const hangMs = 120_000;
const modelThinksMs = 500;
/** Before the hang begins, and not measured. */
const warmUpTurns = 5;

/** Of each execution, by its model's name: when its model had answered until it was asked again, in milliseconds. */
const gaps = new Map<string, number[]>();
const answeredAt = new Map<string, number>();

await using lab = createLab();
const model = startModel();
lab.setModel(model.port);
const server = await lab.startServer();
const front = startFront(server);
const workerWords = [lab.binary, 'worker', 'start', '--no-webui', '--queue-id'];
const isReady = (output: string): boolean => output.includes(': Ready ');
await lab.start([...workerWords, 'control'], isReady);
await createQueue(server, 'hanging');
const behind = [`CONTROL_PLANE_URL=http://127.0.0.1:${front.port}`, `KUBIYA_API_KEY=${server.token}`];
await lab.start(['env', ...behind, ...workerWords, 'hanging'], isReady);

const runs = await Promise.all(
  ['control', 'hanging'].map(async (name) => startExecution(server, await queueId(server, name), name)),
);
while (countOf('hanging') < warmUpTurns || countOf('control') < warmUpTurns) await Bun.sleep(50);
front.isHanging = true;
const during = { control: countOf('control'), hanging: countOf('hanging') };
await Bun.sleep(hangMs);
const measured = {
  control: gapsOf('control').slice(during.control),
  hanging: gapsOf('hanging').slice(during.hanging),
};
front.isHanging = false;
await Promise.all(runs.map(({ ended }) => ended));
await front.stop();
await model.stop();

const report = createReport();
report.add('between two model calls', 'ms', measured.control);
report.add('the same, the control plane hangs', 'ms', measured.hanging);
const p95 = (name: 'control' | 'hanging'): number => quantile(measured[name], 0.95);
report.add('p95 between two model calls', 'ms', [p95('control')]);
report.add('p95, the control plane hangs', 'ms', [p95('hanging')]);
report.ratio('p95 of a turn is so much as with a control plane that answers', p95('hanging') / p95('control'), {
  bar: 1.1,
});
report.print(`both at once for ${hangMs / 1000} s, a turn every ${modelThinksMs} ms, a small file written in each`);

function gapsOf(name: string): number[] {
  const own = gaps.get(name) ?? [];
  gaps.set(name, own);
  return own;
}

function countOf(name: string): number {
  return gapsOf(name).length;
}

function startModel() {
  return Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (request) => {
      const { model: name } = (await request.json()) as { model: string };
      const before = answeredAt.get(name);
      if (before !== undefined) gapsOf(name).push(performance.now() - before);
      await Bun.sleep(modelThinksMs);
      answeredAt.set(name, performance.now());
      return Response.json(countOf(name) < turns ? toolCall(countOf(name)) : message({ content: 'done' }, 'stop'));
    },
  });
}

function toolCall(turn: number): unknown {
  const input = JSON.stringify({ file_name: 'note.txt', contents: `${turn}\n` });
  const call = { id: `call_${turn}`, type: 'function', function: { name: 'save_file', arguments: input } };
  return message({ content: null, tool_calls: [call] }, 'tool_calls');
}

function message(content: Record<string, unknown>, finishReason: string): unknown {
  const choice = { index: 0, message: { role: 'assistant', ...content }, finish_reason: finishReason };
  return { id: 'bench', object: 'chat.completion', choices: [choice] };
}

/** Passes everything to the server, or nothing. */
function startFront({ url }: Server) {
  const front = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    fetch: async (request) => {
      if (state.isHanging) return new Promise<Response>(() => undefined);
      const { pathname, search } = new URL(request.url);
      const body = await request.text();
      return fetch(`${url}${pathname}${search}`, {
        method: request.method,
        headers: request.headers,
        ...(body === '' ? {} : { body }),
      });
    },
  });
  const state = { isHanging: false, port: front.port ?? 0, stop: () => front.stop(true) };
  return state;
}

async function createQueue({ url, token }: Server, name: string): Promise<void> {
  const response = await fetch(`${url}/api/v1/environments/default/worker-queues`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  });
  if (!response.ok) throw new Error(`the queue ${name} could not be made: ${response.status}`);
}
