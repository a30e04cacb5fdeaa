// Stands between a worker and its control plane, so that a test can answer in its place: refuse, hang, forget, or change an answer.
import { type RunningBinary } from './binary.ts';
import type { LocalServer } from './local-server.ts';

export interface FrontRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string;
  readonly body: Record<string, unknown>;
  /** Monotonic milliseconds. */
  readonly atMs: number;
}

/** What a test says to a request: its own answer, `pass` (with another body, or a changed answer), or nothing at all. */
export type FrontAnswer =
  | { readonly type: 'pass'; readonly body?: unknown; readonly change?: (answer: Record<string, unknown>) => unknown }
  | { readonly type: 'answer'; readonly status: number; readonly body?: unknown }
  | { readonly type: 'hang' };

export interface Front {
  readonly url: string;
  readonly requests: readonly FrontRequest[];
  /** Those whose path ends so. */
  to(end: string): readonly FrontRequest[];
  /** Replaces what was said before; undefined passes. */
  say(answer: ((request: FrontRequest) => FrontAnswer | undefined) | undefined): void;
  stop(): Promise<void>;
}

export function startFront(server: Pick<LocalServer, 'url'>): Front {
  const requests: FrontRequest[] = [];
  let say: ((request: FrontRequest) => FrontAnswer | undefined) | undefined;
  const front = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 120,
    fetch: async (incoming) => {
      const { pathname, search } = new URL(incoming.url);
      const text = await incoming.text();
      const request: FrontRequest = {
        method: incoming.method,
        path: pathname,
        authorization: incoming.headers.get('authorization') ?? '',
        body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
        atMs: performance.now(),
      };
      requests.push(request);
      const answer = say?.(request) ?? { type: 'pass' };
      if (answer.type === 'hang') return await new Promise<Response>(() => undefined);
      if (answer.type === 'answer') return Response.json(answer.body ?? {}, { status: answer.status });
      const body = answer.body === undefined ? text : JSON.stringify(answer.body);
      const { method, headers } = incoming;
      const response = await fetch(`${server.url}${pathname}${search}`, {
        method,
        headers,
        ...(body === '' ? {} : { body }),
      }).catch(() => new Response('away', { status: 502 }));
      if (answer.change === undefined || !response.ok) return response;
      return Response.json(answer.change((await response.json()) as Record<string, unknown>));
    },
  });
  return {
    url: `http://127.0.0.1:${front.port}`,
    requests,
    to: (end) => requests.filter(({ path }) => path.endsWith(end)),
    say: (next) => (say = next),
    stop: () => front.stop(true),
  };
}

/** Environment of a worker behind the front. */
export const behind = (front: Front, server: Pick<LocalServer, 'token'>): Record<string, string> => ({
  CONTROL_PLANE_URL: front.url,
  KUBIYA_API_KEY: server.token,
});

/** How many lines of its log say this. */
export function countOf(running: RunningBinary, pattern: RegExp): number {
  return running
    .output()
    .split('\n')
    .filter((line) => pattern.test(line)).length;
}
