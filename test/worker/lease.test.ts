// Two workers on one queue, each with its own workspaces: who holds an execution, and what becomes of it when its holder is gone.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHome, type Home } from '../support/binary.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { startScriptedOpenAi, type ScriptedServer, type ScriptedReply } from '../support/model-servers.ts';
import { until } from '../support/until.ts';
import { readJournals, startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';

const limitMs = 30_000;
const testLimitMs = 60_000;
/** The acceptance: a heartbeat's timeout, a look at the lease, and room for a busy machine. */
const takeoverLimitMs = 10_000;
const movedNote = 'it goes on on another one in a new, empty workspace';
const interruptedNote = 'it is not known whether it took effect';

let home: Home;
let server: LocalServer;
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
}, 60_000);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, 30_000);

/** A queue with two workers whose homes, and so whose workspaces and journals, are two. */
interface Pair extends AsyncDisposable {
  readonly queue: string;
  readonly workers: readonly [WorkerProcess, WorkerProcess];
  /** The one whose journal has a call of the execution, and the other. */
  holderOf(executionId: string): { readonly holder: WorkerProcess; readonly other: WorkerProcess };
  /** Starts a worker again in the place of one that has ended. */
  again(worker: WorkerProcess): Promise<WorkerProcess>;
}

async function startPair(queue: string, environment: Record<string, string>): Promise<Pair> {
  await server.request('POST', '/api/v1/environments/default/worker-queues', { name: queue });
  const homes = [createHome(), createHome()] as const;
  const start = (one: Home): Promise<WorkerProcess> =>
    startWorkerProcess({
      home: one,
      queue,
      environment: { CONTROL_PLANE_URL: server.url, KUBIYA_API_KEY: server.token, ...environment },
    });
  const workers: [WorkerProcess, WorkerProcess] = [await start(homes[0]), await start(homes[1])];
  const all: WorkerProcess[] = [...workers];
  return {
    queue,
    workers,
    holderOf: (id) => {
      const holds = ({ journalDirectory }: WorkerProcess): boolean =>
        (readJournals(journalDirectory).get(id) ?? []).some(({ call }) => !call.endsWith(':model'));
      const [one, two] = workers;
      if (holds(one) === holds(two)) throw new Error(`not one of the two workers has had a tool call of ${id}`);
      return holds(one) ? { holder: one, other: two } : { holder: two, other: one };
    },
    again: async (worker) => {
      const next = await start(worker === workers[0] ? homes[0] : homes[1]);
      all.push(next);
      return next;
    },
    [Symbol.asyncDispose]: async () => {
      for (const { process } of all) if (!process.hasExited) await process.end('SIGTERM');
      for (const one of homes) {
        await one.waitUntilEmpty(5_000);
        one.remove();
      }
    },
  };
}

const shell = (command: string): ScriptedReply => ({
  type: 'calls',
  calls: [{ name: 'run_shell_command', arguments: { command } }],
});
const say = (text: string): ScriptedReply => ({ type: 'text', text });
const behind = ({ url }: ScriptedServer) => ({
  OPENAI_BASE_URL: url,
  OPENAI_API_KEY: 'sk-scripted',
  KUBIYA_MODEL: 'openai/scripted',
});
/** What the tools answered, as the model was told it at last. */
function toldTo(model: ScriptedServer): readonly string[] {
  const messages = model.requests.at(-1)?.body['messages'] as { role: string; content: string }[];
  return messages.filter(({ role }) => role === 'tool').map(({ content }) => content);
}
const timesIn = (texts: readonly string[], part: string): number => texts.filter((text) => text.includes(part)).length;
const linesOf = (path: string): readonly string[] =>
  existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
async function converse(queue: string): Promise<string> {
  const body = { prompt: 'run `echo hi`', worker_queue_id: queue, is_conversation: true };
  const { execution_id: id } = (await server.request('POST', '/api/v1/agents/default/execute', body)) as {
    execution_id: string;
  };
  await until(async () => (await server.execution(id)).status === 'waiting_for_input', { limitMs });
  return id;
}

test(
  'what a call wrote is there for the next call of the same execution, in 50 of 50',
  async () => {
    await using pair = await startPair('fifty', { KUBIYA_MODEL: 'kubiya/offline' });
    const numbers = Array.from({ length: 50 }, (_, index) => index);
    const prompt = (n: number): string => `run \`echo kept-${n} > note\`, \`cat note\` and \`pwd\``;
    const ids = await Promise.all(numbers.map((n) => server.execute(prompt(n), pair.queue)));
    for (const [n, id] of ids.entries()) {
      const ended = await server.ended(id, limitMs);
      expect(ended).toMatchObject({ status: 'completed', response: expect.stringContaining(`kept-${n}\n`) });
      pair.holderOf(id); // throws when both have had calls of it
    }
    // Or the test has not shown what it is about.
    for (const { directory } of pair.workers)
      expect(readdirSync(join(directory, 'journal')).filter((name) => name.endsWith('.jsonl')).length).toBeGreaterThan(
        5,
      );
  },
  testLimitMs,
);

describe('the holder is killed', () => {
  test.concurrent(
    'while a command runs: the other worker takes over, the model is told once, and the command has run once',
    async () => {
      const trace = join(home.directory, 'killed');
      const command = `echo begun >> ${trace}; echo seen > only-here; sleep 60; echo done >> ${trace}`;
      const model = await startScriptedOpenAi([
        shell(command),
        shell(`ls; echo after >> ${trace}`),
        shell('echo last'),
        say('I know'),
      ]);
      await using pair = await startPair('killed', behind(model));
      const id = await server.execute('go', pair.queue);
      await until(() => linesOf(trace).length === 1, { limitMs });
      const { holder, other } = pair.holderOf(id);
      holder.kill();
      const killedMs = Date.now();
      await until(() => model.requests.length > 1, { limitMs, what: () => 'the model is asked again' });
      expect(Date.now() - killedMs).toBeLessThan(takeoverLimitMs);
      expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'I know' });

      const told = toldTo(model);
      expect(told.map((text) => text.includes(movedNote))).toEqual([true, false, false]);
      expect(told.map((text) => text.includes(interruptedNote))).toEqual([true, false, false]);
      expect(told[1]).not.toContain('only-here');
      expect(linesOf(trace)).toEqual(['begun', 'after']);
      const events = await server.events(id);
      expect(events.filter(({ data }) => data['code'] === 'lease_moved').length).toBe(1);
      expect(
        events.filter(({ event_type: type }) => type === 'tool_completed').map(({ data }) => data['outcome']),
      ).toEqual(['interrupted', 'success', 'success']);
      expect(pair.holderOf.bind(pair, id)).toThrow();
      expect(other.process.output()).toContain('The worker that held a workspace is gone');
      await model.stop();
    },
    testLimitMs,
  );

  test.concurrent(
    'between two calls: the next one has certainly not begun, so it runs on the other worker, once',
    async () => {
      const trace = join(home.directory, 'between');
      const model = await startScriptedOpenAi([
        shell('echo here > note'),
        say('ready'),
        shell(`echo ran >> ${trace}; ls`),
        say('done'),
      ]);
      await using pair = await startPair('between', behind(model));
      const id = await converse(pair.queue);
      pair.holderOf(id).holder.kill();
      const killedMs = Date.now();
      await server.request('POST', `/api/v1/executions/${id}/message`, { message: 'more' });
      await until(() => model.requests.length === 4, { limitMs });
      expect(Date.now() - killedMs).toBeLessThan(takeoverLimitMs);
      const [, second] = toldTo(model);
      expect(second).toContain(movedNote);
      expect(second).not.toContain(interruptedNote);
      expect(second).not.toContain('note\n');
      expect(linesOf(trace)).toEqual(['ran']);
      await server.request('POST', `/api/v1/executions/${id}/mark-done`);
      expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed' });
      await model.stop();
    },
    testLimitMs,
  );

  test.concurrent(
    'and is started again at once: it keeps what it holds, and nothing is told',
    async () => {
      const model = await startScriptedOpenAi([
        shell('echo here > note'),
        say('ready'),
        shell('cat note'),
        say('done'),
      ]);
      await using pair = await startPair('restarted', behind(model));
      const id = await converse(pair.queue);
      const { holder, other } = pair.holderOf(id);
      holder.kill();
      await holder.process.exited;
      await pair.again(holder);
      await server.request('POST', `/api/v1/executions/${id}/message`, { message: 'more' });
      await until(() => model.requests.length === 4, { limitMs });
      const told = toldTo(model);
      expect(told[1]).toContain('here');
      expect(timesIn(told, movedNote)).toBe(0);
      expect(other.process.output()).not.toContain('is gone');
      await server.request('POST', `/api/v1/executions/${id}/mark-done`);
      await server.ended(id, limitMs);
      await model.stop();
    },
    testLimitMs,
  );
});

test.concurrent(
  'a holder that has no free slot is not gone: the call waits for it, longer than somebody asks',
  async () => {
    await using pair = await startPair('busy', { KUBIYA_MODEL: 'kubiya/offline', MAX_CONCURRENT_ACTIVITIES: '1' });
    // Of three executions two are with the same worker.
    const ids = [await converse(pair.queue), await converse(pair.queue), await converse(pair.queue)];
    const [held = [], others = []] = pair.workers.map((worker) =>
      ids.filter((id) => pair.holderOf(id).holder === worker),
    );
    const [long = '', short = ''] = held.length > 1 ? held : others;
    const send = (id: string, message: string) =>
      server.request('POST', `/api/v1/executions/${id}/message`, { message });
    const completed = async (id: string) =>
      (await server.events(id)).filter(({ event_type: type }) => type === 'tool_completed');
    const startedMs = Date.now();
    await send(long, 'run `sleep 6`');
    await until(() => readJournals(pair.holderOf(long).holder.journalDirectory).get(long)?.at(-1)?.type === 'started', {
      limitMs,
    });
    await send(short, 'run `echo short`');
    await until(async () => (await completed(short)).length === 2, { limitMs });
    expect(Date.now() - startedMs).toBeGreaterThan(6_000);
    expect((await completed(long)).at(-1)?.data['outcome']).toBe('success');
    expect((await completed(short)).at(-1)?.data['outcome']).toBe('success');
    expect((await server.events(short)).filter(({ data }) => data['code'] === 'lease_moved')).toEqual([]);
    for (const id of ids) await server.request('POST', `/api/v1/executions/${id}/mark-done`);
    for (const id of ids) await server.ended(id, limitMs);
  },
  testLimitMs,
);

describe('the holder does not answer', () => {
  test.concurrent(
    'but lives: the call goes on there and is answered when it is back',
    async () => {
      const trace = join(home.directory, 'frozen');
      const model = await startScriptedOpenAi([
        shell(`echo begun >> ${trace}; sleep 3; echo done >> ${trace}`),
        say('done'),
      ]);
      await using pair = await startPair('frozen', behind(model));
      const id = await server.execute('go', pair.queue);
      await until(() => linesOf(trace).length === 1, { limitMs });
      const { holder } = pair.holderOf(id);
      holder.process.signal('SIGSTOP');
      // Its heartbeats are missed after 2 s, and 3 s later somebody asks whether it lives.
      await Bun.sleep(8_000);
      expect(model.requests.length).toBe(1);
      holder.process.signal('SIGCONT');
      expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'done' });
      expect(timesIn(toldTo(model), movedNote) + timesIn(toldTo(model), interruptedNote)).toBe(0);
      expect(linesOf(trace)).toEqual(['begun', 'done']);
      await model.stop();
    },
    testLimitMs,
  );

  test.concurrent(
    'and counts as gone: what it has begun is not begun again, also when it comes back',
    async () => {
      const trace = join(home.directory, 'cut-off');
      const model = await startScriptedOpenAi([
        shell(`echo begun >> ${trace}; sleep 10; echo done >> ${trace}`),
        shell(`echo elsewhere >> ${trace}`),
        say('done'),
      ]);
      await using pair = await startPair('cut-off', behind(model));
      const id = await server.execute('go', pair.queue);
      await until(() => linesOf(trace).length === 1, { limitMs });
      const { holder, other } = pair.holderOf(id);
      holder.process.signal('SIGSTOP');
      // As if its heartbeats had been missed for more than a minute.
      await server.request('POST', `/api/v1/workers/${holder.workerId}/disconnect`, { reason: 'error' });
      expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'done' });
      const told = toldTo(model);
      expect(told[0]).toContain(movedNote);
      expect(told[0]).toContain(interruptedNote);
      expect(told[1]).not.toContain(movedNote);
      holder.process.signal('SIGCONT');
      // The command that it runs cannot know; it ends by itself, and nobody begins it again.
      await until(() => linesOf(trace).includes('done'), { limitMs });
      expect(linesOf(trace).filter((line) => line === 'begun').length).toBe(1);
      expect(linesOf(trace).filter((line) => line === 'elsewhere').length).toBe(1);
      expect(other.process.hasExited).toBe(false);
      await model.stop();
    },
    testLimitMs,
  );

  test.concurrent(
    'and thaws when its call is somebody else’s: what came to it meanwhile is not begun',
    async () => {
      const trace = join(home.directory, 'thawed');
      const model = await startScriptedOpenAi([
        shell('echo here'),
        say('ready'),
        shell(`echo late >> ${trace}`),
        say('done'),
      ]);
      await using pair = await startPair('thawed', behind(model));
      const id = await converse(pair.queue);
      const { holder } = pair.holderOf(id);
      holder.process.signal('SIGSTOP');
      await server.request('POST', `/api/v1/workers/${holder.workerId}/disconnect`, { reason: 'error' });
      // Temporal hands the call to a poller that cannot read it.
      await server.request('POST', `/api/v1/executions/${id}/message`, { message: 'more' });
      await until(() => model.requests.length === 4, { limitMs });
      expect(toldTo(model)[1]).toContain(interruptedNote);
      holder.process.signal('SIGCONT');
      await holder.process.waitFor(/given up before the call has begun|registering again/, limitMs);
      await Bun.sleep(2_000);
      expect(linesOf(trace)).toEqual([]);
      await server.request('POST', `/api/v1/executions/${id}/mark-done`);
      await server.ended(id, limitMs);
      await model.stop();
    },
    testLimitMs,
  );
});
