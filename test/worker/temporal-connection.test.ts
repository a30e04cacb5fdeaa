// The worker reaches a Temporal that wants TLS of a private authority, through an HTTP CONNECT proxy, and says clearly when it cannot.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { createHome, startBinary, type Home } from '../support/binary.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { startWorkerProcess } from '../support/worker-process.ts';

const limitMs = 120_000;
let temporalHome: Home;
let home: Home;
let plain: LocalServer;
let tls: TlsServer;
let proxy: Server;
let authorityFile: string;
const connects: string[] = [];
const proxyAuthorizations: (string | undefined)[] = [];

beforeAll(async () => {
  temporalHome = createHome();
  home = createHome();
  plain = await startLocalServer({ home: temporalHome });
  authorityFile = createCertificates(home.directory);
  tls = createTlsServer(
    {
      key: readFileSync(join(home.directory, 'server.key')),
      cert: readFileSync(join(home.directory, 'server.pem')),
      ALPNProtocols: ['h2'],
    },
    (socket) => tunnel(socket, plain.temporalAddress),
  );
  await listen(tls);
  proxy = createServer();
  proxy.on('connect', (request, socket) => {
    connects.push(request.url ?? '');
    proxyAuthorizations.push(request.headers['proxy-authorization']);
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    tunnel(socket as Socket, request.url ?? '');
  });
  await listen(proxy);
}, limitMs);

afterAll(async () => {
  await plain.stop();
  tls.close();
  proxy.close();
  home.remove();
  temporalHome.remove();
}, limitMs);

const portOf = (server: TlsServer | Server): number => (server.address() as AddressInfo).port;
const listen = (server: TlsServer | Server): Promise<void> =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve()));

function tunnel(socket: Socket, address: string): void {
  const [host, port] = address.split(':');
  const upstream = connect(Number(port), host ?? '');
  for (const end of [socket, upstream]) end.on('error', () => [socket, upstream].forEach((one) => one.destroy()));
  socket.pipe(upstream).pipe(socket);
}

/** An authority and a certificate for localhost signed by it: under Bun the TLS of Temporal's client knows names only, no addresses. */
function createCertificates(directory: string): string {
  const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: directory, stdio: 'ignore' });
  writeFileSync(join(directory, 'san.cnf'), 'subjectAltName=DNS:localhost\n');
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
  );
  openssl(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'server.key',
    '-out',
    'server.csr',
    '-subj',
    '/CN=localhost',
  );
  openssl(
    'x509',
    '-req',
    '-in',
    'server.csr',
    '-CA',
    'ca.pem',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-out',
    'server.pem',
    '-days',
    '2',
    '-extfile',
    'san.cnf',
  );
  return join(directory, 'ca.pem');
}

const startTlsServer = (words: readonly string[] = []) =>
  startLocalServer({
    home,
    words: [
      '--temporal-address',
      `localhost:${portOf(tls)}`,
      '--temporal-namespace',
      'default',
      '--temporal-tls',
      ...words,
    ],
    environment: { KUBIYA_CA_FILE: authorityFile },
  });

test(
  'an execution runs over TLS with an authority of its own, the worker going through the proxy with its credentials',
  async () => {
    const server = await startTlsServer();
    const worker = await startWorkerProcess({
      home,
      queue: 'secure',
      words: ['--model', 'kubiya/offline'],
      environment: {
        KUBIYA_CA_FILE: authorityFile,
        HTTPS_PROXY: `http://user:pa%20ss@127.0.0.1:${portOf(proxy)}`,
        NO_PROXY: 'example.com',
      },
    });
    try {
      const id = await server.execute('run `echo through`', 'secure');
      const ended = await server.ended(id, 60_000);
      expect(ended.status).toBe('completed');
      expect(ended.response).toContain('through');
      expect(connects).toContain(`localhost:${portOf(tls)}`);
      expect(proxyAuthorizations).toContain(`Basic ${Buffer.from('user:pa ss').toString('base64')}`);
    } finally {
      await worker.process.end('SIGTERM');
      await server.stop();
    }
    await home.waitUntilEmpty(5_000);
  },
  limitMs,
);

test(
  'without the authority the worker ends with exit 5 and one sentence',
  async () => {
    const server = await startTlsServer();
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
  'a proxy that NO_PROXY excludes is not asked',
  async () => {
    connects.length = 0;
    const server = await startTlsServer();
    const worker = await startWorkerProcess({
      home,
      queue: 'direct',
      environment: {
        KUBIYA_CA_FILE: authorityFile,
        HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}`,
        NO_PROXY: 'localhost',
      },
    });
    await worker.process.end('SIGTERM');
    await server.stop();
    expect(connects).toEqual([]);
  },
  limitMs,
);
