// A proxy of the network, real and recording: forwards plain HTTP, tunnels CONNECT, and knows names that no DNS knows.
import { createServer, request as sendRequest } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

export interface ProxiedRequest {
  /** `CONNECT` for a tunnel. */
  readonly method: string;
  /** `host:port`. */
  readonly target: string;
  readonly authorization: string | undefined;
}

export interface RecordingProxy {
  readonly port: number;
  readonly requests: ProxiedRequest[];
  /** Where a `host:port` really is. */
  readonly places: Map<string, { readonly port: number }>;
  stop(): Promise<void>;
}

export interface ProxyOptions {
  /** `user:password` that it wants; without it everybody may. */
  readonly credentials?: string;
}

export async function startProxy({ credentials }: ProxyOptions = {}): Promise<RecordingProxy> {
  const requests: ProxiedRequest[] = [];
  const places: RecordingProxy['places'] = new Map();
  const sockets = new Set<Socket>();
  const isAllowed = (authorization: string | undefined): boolean =>
    credentials === undefined || authorization === `Basic ${Buffer.from(credentials).toString('base64')}`;
  const portOf = (target: string): number => places.get(target)?.port ?? Number(target.split(':').at(-1));
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://nowhere');
    const target = `${url.hostname}:${url.port === '' ? '80' : url.port}`;
    const { 'proxy-authorization': authorization, ...headers } = request.headers;
    requests.push({ method: request.method ?? '', target, authorization });
    if (!isAllowed(authorization)) return void response.writeHead(407, { 'proxy-authenticate': 'Basic' }).end('who?');
    const onward = sendRequest(
      { host: '127.0.0.1', port: portOf(target), method: request.method, path: url.pathname + url.search, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.writeHead(502).end());
    request.pipe(onward);
  });
  server.on('connect', (request, socket: Socket) => {
    const target = request.url ?? '';
    requests.push({ method: 'CONNECT', target, authorization: request.headers['proxy-authorization'] });
    socket.on('error', () => socket.destroy());
    if (!isAllowed(request.headers['proxy-authorization']))
      return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n');
    const upstream = connect(portOf(target), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    places,
    stop: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
