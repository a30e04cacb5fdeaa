// Who may look at a worker's ports, and what a worker says of itself while it starts, works and drains.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createHome, type Home, startBinary } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';
import { portsOf, sendRaw } from '../support/worker-ports.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { failureOf } from './lab.ts';

let home: Home;
let server: LocalServer;
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
}, 90_000);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
});

const startWorker = (queue: string, words: readonly string[] = [], environment: Record<string, string> = {}) =>
  startWorkerProcess({ home, queue, words, environment: { KUBIYA_MODEL: 'kubiya/offline', ...environment } });
const probe = async (url: string, init?: RequestInit): Promise<[number, string]> => {
  const response = await fetch(url, init);
  return [response.status, await response.text()];
};

describe('the web port', () => {
  let worker: WorkerProcess;
  let web: string;
  let port: string;
  beforeAll(async () => {
    worker = await startWorker('web');
    ({ web } = await portsOf(worker.process));
    ({ port } = new URL(web));
  });
  afterAll(async () => void (await worker.process.end('SIGTERM')));

  const asked = (host: string | undefined, path = '/metrics') =>
    sendRaw(web, `GET ${path} HTTP/1.1\r\n${host === undefined ? '' : `Host: ${host}\r\n`}Connection: close\r\n\r\n`);

  test('answers to its own names', async () => {
    const own = [`127.0.0.1:${port}`, `localhost:${port}`, `LocalHost:${port}`, `[::1]:${port}`];
    const answers = await Promise.all(own.map((host) => asked(host)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });

  test('answers to no other name, on no path, and does not repeat it', async () => {
    const strangers = [
      `evil.example:${port}`,
      `127.0.0.1.evil.example:${port}`,
      `localhost.evil.example:${port}`,
      `127.0.0.1:1`,
      '127.0.0.1',
      'localhost',
      `0.0.0.0:${port}`,
      `192.0.2.1:${port}`,
      `[::2]:${port}`,
      `evil.example`,
      `127.0.0.1:${port}@evil.example`,
      '',
    ];
    for (const path of ['/', '/metrics', '/livez', '/readyz', '/other']) {
      const answers = await Promise.all(strangers.map((host) => asked(host, path)));
      const wrong = answers.filter(({ status, body }) => ![400, 403].includes(status) || /evil|192/.test(body));
      expect({ path, wrong }).toEqual({ path, wrong: [] });
    }
    expect((await sendRaw(web, 'GET /metrics HTTP/1.0\r\n\r\n')).status).toBeOneOf([400, 403]);
  });

  test('gives nothing to a page of another origin, and takes nothing', async () => {
    const headers = { origin: 'http://evil.example' };
    const response = await fetch(`${web}/metrics`, { headers });
    expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
      expect((await fetch(`${web}/metrics`, { method, headers })).status).toBe(405);
    const head = await fetch(`${web}/metrics`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  test('says what is there, and not what was asked for', async () => {
    expect(await probe(web)).toEqual([200, expect.stringMatching(/\/metrics[\s\S]*\/livez[\s\S]*\/readyz/)]);
    expect(await probe(`${web}/<script>`)).toEqual([404, 'not found\n']);
    expect(await probe(`${web}/v1/status`)).toEqual([404, 'not found\n']);
    expect(await probe(`${web}/livez`)).toEqual([200, 'ok\n']);
    expect(await probe(`${web}/readyz`)).toEqual([200, 'ok\n']);
  });

  test('is not held by a client that sends a byte a second', async () => {
    const startedMs = Date.now();
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), '127.0.0.1', () => socket.write('GET /livez HTTP/1.1\r\nX: '));
      const drip = setInterval(() => socket.write('x'), 1_000);
      socket.on('error', () => undefined); // it is closed while we write
      socket.on('close', () => resolve(clearInterval(drip)));
      socket.resume();
    });
    expect(Date.now() - startedMs).toBeLessThan(15_000);
  }, 20_000);
});

test('a web port for other machines wants its token, but for the probes', async () => {
  const file = join(home.directory, 'web-token');
  writeFileSync(file, 'a-web-token\n');
  chmodSync(file, 0o600);
  const worker = await startWorker('open', ['--webui-host', '0.0.0.0', '--webui-port', '0'], {
    KUBIYA_WEBUI_TOKEN_FILE: file,
  });
  const { web } = await portsOf(worker.process);
  const base = web.replace('0.0.0.0', '127.0.0.1');
  const statusOf = async (path: string, authorization?: string): Promise<number> =>
    (await fetch(`${base}${path}`, authorization === undefined ? {} : { headers: { authorization } })).status;
  expect(await Promise.all(['/livez', '/readyz', '/', '/metrics', '/other'].map((path) => statusOf(path)))).toEqual([
    200, 200, 401, 401, 401,
  ]);
  const given = [
    'Bearer a-web-token',
    'Bearer a-web-tokeN',
    'Bearer a-web-token2',
    'Bearer ',
    'a-web-token-',
    'Basic eDp5',
  ];
  expect(await Promise.all(given.map((one) => statusOf('/metrics', one)))).toEqual([200, 401, 401, 401, 401, 401]);
  const { port } = new URL(base);
  const byHost = async (host: string): Promise<number> =>
    (await sendRaw(base, `GET /livez HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`)).status;
  // Whoever scrapes a pod asks for its address; a name may have been made to point here.
  expect(await Promise.all(['192.0.2.7', '[2001:db8::1]', 'evil.example'].map(byHost))).toEqual([200, 200, 403]);
  expect(worker.process.output()).not.toContain('a-web-token');
  await worker.process.end('SIGTERM');
});

describe('a port that is taken', () => {
  let taken: Server;
  let port = 0;
  beforeAll(async () => {
    taken = createServer();
    await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done));
    const address = taken.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  });
  afterAll(() => new Promise((done) => taken.close(done)));

  test('as the web port that was asked for is exit 6', async () => {
    const result = await runCommand(['worker', 'start', '--queue-id', 'taken', '--webui-port', String(port)], { home });
    expect(result.code).toBe(6);
    const { error, hint } = failureOf({ ...result, stderr: withoutLog(result.stderr) });
    expect(error).toContain(`the web port ${port} is taken`);
    expect(hint).toContain('--webui-port');
  });

  test('as METRICS_PORT is exit 6, also beside a web port that is free', async () => {
    const environment = { METRICS_ENABLED: 'true', METRICS_PORT: String(port), KUBIYA_METRICS_HOST: '127.0.0.1' };
    const result = await runCommand(['worker', 'start', '--queue-id', 'taken'], { home, environment });
    expect(result.code).toBe(6);
    const { error, hint } = failureOf({ ...result, stderr: withoutLog(result.stderr) });
    expect(error).toContain(`the port of the metrics ${port} is taken`);
    expect(hint).toContain('METRICS_PORT');
  });
});

/** A foreground worker logs to stderr. */
const withoutLog = (stderr: string): string =>
  stderr
    .split('\n')
    .filter((line) => !/^\d{4}-\d\d-\d\dT|^\{/.test(line))
    .join('\n');

/** Ports on which a process listens. Linux only. */
function listenersOf(pid: number): readonly number[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => /socket:\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1]),
  );
  const tables = ['tcp', 'tcp6'].flatMap((name) =>
    readFileSync(`/proc/${pid}/net/${name}`, 'utf8').split('\n').slice(1),
  );
  return tables.flatMap((line) => {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
    return state === '0A' && inodes.has(inode) ? [Number.parseInt(local.split(':')[1] ?? '', 16)] : [];
  });
}

test('without a web port and without METRICS_ENABLED nothing listens but the control port', async () => {
  const worker = await startWorker('closed', ['--no-webui']);
  expect(worker.process.output()).not.toContain('Listening');
  expect(listenersOf(worker.process.pid)).toHaveLength(1);
  await worker.process.end('SIGTERM');
});

test('a worker that starts and one that drains are alive, not ready, and say why', async () => {
  const starting = startBinary(['worker', 'start', '--queue-id', 'slow', '--webui-port', '0'], {
    home,
    environment: {
      LOG_FORMAT: 'json',
      KUBIYA_MODEL: 'kubiya/offline',
      KUBIYA_API_KEY: 'k',
      CONTROL_PLANE_URL: 'http://192.0.2.1',
    },
  });
  const early = await portsOf(starting);
  expect(await probe(`${early.web}/livez`)).toEqual([200, 'ok\n']);
  expect(await probe(`${early.web}/readyz`)).toEqual([503, 'the worker is starting\n']);
  expect((await probe(`${early.web}/metrics`))[1]).toContain('kubiya_worker_state{state="starting"} 1');
  await starting.end('SIGTERM');

  const worker = await startWorker('drains', ['--webui-port', '0']);
  const { web } = await portsOf(worker.process);
  const id = await server.execute('run `sleep 3`', 'drains');
  await until(async () => (await server.events(id)).some(({ event_type }) => event_type === 'tool_started'));
  worker.process.signal('SIGTERM');
  await worker.process.waitFor(/no new work is taken/);
  expect(await probe(`${web}/livez`)).toEqual([200, 'ok\n']);
  expect(await probe(`${web}/readyz`)).toEqual([503, 'the worker is draining\n']);
  expect((await probe(`${web}/metrics`))[1]).toContain('kubiya_worker_state{state="draining"} 1');
  await worker.process.exited;
}, 60_000);
