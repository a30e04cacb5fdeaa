// Where a worker process said that it listens, and requests that no browser and no library would send.
import { connect } from 'node:net';
import type { RunningBinary } from './binary.ts';

export interface WorkerPorts {
  /** Without a slash at the end; empty when there is none. */
  readonly web: string;
  readonly metrics: string;
}

/** Of a worker that logs JSON. */
export async function portsOf(worker: RunningBinary): Promise<WorkerPorts> {
  const [line] = await worker.waitFor(/^.*"msg":"Listening".*$/m);
  const { web = '', metrics = '' } = JSON.parse(line) as { web?: string; metrics?: string };
  return { web, metrics: metrics.replace('0.0.0.0', '127.0.0.1').replace(/\/metrics$/, '') };
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: string;
  readonly body: string;
}

/** Sends the text as it is and reads until the other side closes. */
export function sendRaw(url: string, request: string, limitMs = 20_000): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(Number(port), hostname.replaceAll(/^\[|\]$/g, ''), () => socket.write(request));
    socket.setTimeout(limitMs, () => socket.destroy(new Error('no end of the answer')));
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.once('error', reject);
    socket.once('close', () => {
      const [headers = '', ...body] = text.split('\r\n\r\n');
      resolve({ status: Number(/^HTTP\/1\.\d (\d+)/.exec(headers)?.[1] ?? 0), headers, body: body.join('\r\n\r\n') });
    });
  });
}
