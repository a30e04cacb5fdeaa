// Stands between a worker and its Temporal as a gRPC server with TLS: checks the key of every call, and forwards the others.
import {
  connect,
  constants,
  createSecureServer,
  type ClientHttp2Session,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { OutgoingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Certificates } from './certificates.ts';

export interface TemporalFront {
  /** `localhost:port`. */
  readonly address: string;
  /** The keys that it takes now. */
  keys: ReadonlySet<string>;
  /** How often a key was refused, by key. */
  readonly refusals: ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

const unauthenticated = 16;

export async function startTemporalFront(certificates: Certificates, target: string): Promise<TemporalFront> {
  const server = createSecureServer({ key: certificates.key, cert: certificates.certificate });
  const sessions = new Set<ServerHttp2Session>();
  const refusals = new Map<string, number>();
  let upstream: ClientHttp2Session | undefined;
  const session = (): ClientHttp2Session => {
    if (upstream === undefined || upstream.closed || upstream.destroyed) {
      upstream = connect(`http://${target}`);
      upstream.on('error', () => undefined);
    }
    return upstream;
  };
  const front = { keys: new Set<string>() as ReadonlySet<string> };
  server.on('session', (one) => {
    sessions.add(one);
    one.on('close', () => sessions.delete(one));
    one.on('error', () => undefined);
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const key = (headers['authorization'] ?? '').replace('Bearer ', '');
    if (front.keys.has(key)) return forward(stream, headers, session());
    refusals.set(key, (refusals.get(key) ?? 0) + 1);
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': String(unauthenticated),
        'grpc-message': 'the key has expired',
      },
      { endStream: true },
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `localhost:${(server.address() as AddressInfo).port}`,
    get keys() {
      return front.keys;
    },
    set keys(next) {
      front.keys = next;
    },
    refusals,
    stop: async () => {
      for (const one of sessions) one.destroy();
      upstream?.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function forward(
  stream: ServerHttp2Stream,
  { ':authority': _authority, host: _host, ...headers }: Record<string, string | string[] | undefined>,
  upstream: ClientHttp2Session,
): void {
  const request = upstream.request({ ...headers, ':scheme': 'http' });
  let trailers: OutgoingHttpHeaders = {};
  const ifOpen = (act: () => void): void => {
    if (!stream.destroyed && !stream.closed) act();
  };
  request.on('error', () => ifOpen(() => stream.close(constants.NGHTTP2_REFUSED_STREAM)));
  request.on('response', (answer) => {
    const isOver = answer['grpc-status'] !== undefined;
    ifOpen(() => stream.respond(answer, { waitForTrailers: !isOver, endStream: isOver }));
  });
  request.on('trailers', (last: OutgoingHttpHeaders) => {
    trailers = last;
  });
  request.on('data', (chunk: Buffer) => ifOpen(() => stream.write(chunk)));
  request.on('end', () => ifOpen(() => stream.end()));
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.on('close', () => request.close());
  stream.pipe(request);
}
