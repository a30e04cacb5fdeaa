// Server and worker reach a Temporal that wants TLS of a private authority, through an HTTP CONNECT proxy, and say clearly when they cannot.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { type AddressInfo, connect } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { createHome, startBinary, type Home } from '../support/binary.ts';
import { createCertificates } from '../support/certificates.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { type RecordingProxy, startProxy } from '../support/proxy.ts';
import { startWorkerProcess } from '../support/worker-process.ts';

const limitMs = 120_000;
/** Only the proxy knows where that is. */
const temporalName = 'temporal.test:7233';
let temporalHome: Home;
let home: Home;
let plain: LocalServer;
let tls: TlsServer;
let tlsPort: number;
let proxy: RecordingProxy;
let KUBIYA_CA_FILE: string;

beforeAll(async () => {
  temporalHome = createHome();
  home = createHome();
  plain = await startLocalServer({ home: temporalHome });
  const { authorityFile, key, certificate } = createCertificates(home.directory, ['localhost', 'temporal.test']);
  KUBIYA_CA_FILE = authorityFile;
  tls = createTlsServer({ key, cert: certificate, ALPNProtocols: ['h2'] }, (socket) => {
    const [host, port] = plain.temporalAddress.split(':');
    const upstream = connect(Number(port), host ?? '');
    for (const end of [socket, upstream]) end.on('error', () => [socket, upstream].forEach((one) => one.destroy()));
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((done) => tls.listen(0, '127.0.0.1', () => done()));
  tlsPort = (tls.address() as AddressInfo).port;
  proxy = await startProxy({ credentials: 'user:pa ss' });
  proxy.places.set(temporalName, { port: tlsPort });
}, limitMs);
beforeEach(() => void proxy.requests.splice(0));

afterAll(async () => {
  await plain.stop();
  tls.close();
  await proxy.stop();
  home.remove();
  temporalHome.remove();
}, limitMs);

const startTlsServer = (address: string, environment: Readonly<Record<string, string>> = {}) =>
  startLocalServer({
    home,
    words: ['--temporal-address', address, '--temporal-namespace', 'default', '--temporal-tls'],
    environment: { KUBIYA_CA_FILE, ...environment },
  });

test(
  'an execution runs over TLS with an authority of its own, server and worker going through the proxy with its credentials',
  async () => {
    const environment = {
      KUBIYA_CA_FILE,
      HTTPS_PROXY: `http://user:pa%20ss@127.0.0.1:${proxy.port}`,
      NO_PROXY: 'example.com',
    };
    const server = await startTlsServer(temporalName, environment);
    const worker = await startWorkerProcess({
      home,
      queue: 'secure',
      words: ['--model', 'kubiya/offline'],
      environment,
    });
    const beforeExecution = proxy.requests.length;
    try {
      const id = await server.execute('run `echo through`', 'secure');
      const ended = await server.ended(id, 60_000);
      expect(ended.status).toBe('completed');
      expect(ended.response).toContain('through');
    } finally {
      await worker.process.end('SIGTERM');
      await server.stop();
    }
    const authorization = `Basic ${Buffer.from('user:pa ss').toString('base64')}`;
    expect(beforeExecution).toBeGreaterThan(1);
    for (const request of proxy.requests)
      expect(request).toEqual({ method: 'CONNECT', target: temporalName, authorization });
    await home.waitUntilEmpty(5_000);
  },
  limitMs,
);

test(
  'without the authority the worker ends with exit 5 and one sentence',
  async () => {
    const server = await startTlsServer(`localhost:${tlsPort}`);
    try {
      const worker = startBinary(['worker', 'start', '--queue-id', 'insecure'], { home });
      const { code } = await worker.exited;
      expect(code).toBe(5);
      expect(worker.output()).toMatch(/error: Temporal at localhost:\d+ could not be reached\n+hint: /);
      expect(worker.output()).not.toContain('    at ');
    } finally {
      await server.stop();
    }
  },
  limitMs,
);

test(
  'a Temporal on this machine is not looked for behind the proxy, whatever its variables are called',
  async () => {
    const url = `http://127.0.0.1:${proxy.port}`;
    const environment = { KUBIYA_CA_FILE, HTTPS_PROXY: url, https_proxy: url, http_proxy: url, HTTP_PROXY: url };
    const server = await startTlsServer(`localhost:${tlsPort}`, environment);
    const worker = await startWorkerProcess({ home, queue: 'direct', environment });
    await worker.process.end('SIGTERM');
    await server.stop();
    expect(proxy.requests).toEqual([]);
  },
  limitMs,
);
