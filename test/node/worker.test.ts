// A worker whose Temporal side runs in Node: what it does, what Node gets to know, and what happens when it dies or hangs.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHome, type Home, tryKill } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess, useWayToRun, type WorkerProcess } from '../support/worker-process.ts';

/** Six looks at five seconds until a silent process counts as hung, and its end. */
const hangLimitMs = 45_000;
const secret = 'sk-ant-made-up-for-this-test';
let home: Home;
let server: LocalServer;
let worker: WorkerProcess;
let serverProcesses: ReadonlySet<string>;

useWayToRun({ runtime: 'node', victim: () => 'node' });
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
  serverProcesses = new Set(home.processes());
});
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
});

const start = async (): Promise<WorkerProcess> =>
  (worker = await startWorkerProcess({
    home,
    queue: 'node',
    words: ['--model', 'kubiya/offline'],
    environment: {
      ANTHROPIC_API_KEY: secret,
      NODE_OPTIONS: '--require=/nonexistent',
      KUBIYA_INTERNAL_CORE_BRIDGE: '/trap',
    },
  }));
const others = (): readonly string[] => home.processes().filter((line) => !serverProcesses.has(line));
const environmentOf = (pid: number): readonly string[] => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');

/** The tool's output when the agent runs the command. */
async function outputOf(command: string): Promise<string> {
  const id = await server.execute(`run \`${command}\``, 'node');
  expect(await server.ended(id, 30_000)).toMatchObject({ status: 'completed' });
  const completed = (await server.events(id)).find(({ event_type: type }) => type === 'tool_completed');
  return JSON.stringify(completed?.data);
}

test('runs an agent with a tool call, which does not see the pipe to the binary', async () => {
  await start();
  const output = await outputOf('echo "it works $((40 + 2)) times"; echo "<$(ls /proc/self/fd | tr "\\n" ,)>"');
  expect(output).toContain('it works 42 times');
  // The fourth is the directory that ls reads.
  expect(output).toContain('<0,1,2,3,>');
});

test('Node has the environment of a child: no key, no option for Node, the addon only from us', () => {
  const pid = worker.nodePid();
  if (pid === undefined) throw new Error('there is no Node process');
  const names = environmentOf(pid).map((entry) => entry.split('=', 1)[0]);
  expect(names).toContain('PATH');
  expect(names).not.toContain('NODE_OPTIONS');
  expect(names).not.toContain('ANTHROPIC_API_KEY');
  expect(names).not.toContain('KUBIYA_INTERNAL_CORE_BRIDGE');
  expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8') + environmentOf(pid).join()).not.toContain(secret);
});

test('a secret of the binary is redacted by Node, also in what the control plane gets', async () => {
  expect(await outputOf(`echo ${secret.slice(0, 9)}''${secret.slice(9)}`)).toContain('[redacted]');
  expect(worker.process.output()).not.toContain(secret);
});

test('exec gives the exit codes of the result', async () => {
  const exec = (command: string) =>
    runCommand(['exec', 'agent', 'default', '--queue', 'node', '--yes', `run \`${command}\``], { home });
  expect(await exec('echo fine')).toMatchObject({ code: 0 });
  expect(await exec('exit 3')).toMatchObject({ code: 1 });
});

test('killed with -9 during a call, Node takes the worker with it: exit 1, a reason, and nothing that runs', async () => {
  const began = join(home.directory, 'began');
  await server.execute(
    `run \`touch '${began}'; trap '' TERM; setsid sleep 61 & env -i setsid sleep 62 & sleep 63\``,
    'node',
  );
  await until(() => existsSync(began), { what: () => 'the tool has begun' });
  await until(() => [61, 62, 63].every((seconds) => others().some((line) => line.includes(`sleep ${seconds}`))), {
    what: () => `the children run: ${others().join(', ')}`,
  });
  worker.kill();
  expect(await worker.process.exited).toMatchObject({ code: 1 });
  expect(worker.process.output()).toContain('the Node process that runs the Temporal worker has ended (SIGKILL)');
  // One in a session of its own and without our marker is nobody's any more, as it is after the death of the binary.
  expect(others().filter((line) => !line.includes('sleep 62'))).toEqual([]);
  for (const line of others()) tryKill(Number(line.split(' ', 1)[0]), 'SIGKILL');
});

test('a Node process that hangs is killed, and the worker ends with a reason', async () => {
  await start();
  const pid = worker.nodePid();
  if (pid === undefined) throw new Error('there is no Node process');
  tryKill(pid, 'SIGSTOP');
  await worker.process.waitFor(/does not answer any more and is killed/, hangLimitMs);
  expect(await worker.process.exited).toMatchObject({ code: 1 });
  expect(others()).toEqual([]);
}, 60_000);
