// An MCP server on standard input and output that misbehaves as it is told, by its arguments and by the tools that are called.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const modes = new Set(process.argv.slice(2));
const cancelled: unknown[] = [];
let calls = 0;

if (modes.has('dies')) {
  console.error('fatal: FAULTY_TOKEN is not accepted');
  process.exit(3);
}
if (modes.has('noise')) console.log('Welcome to the faulty server!');
if (modes.has('stubborn')) {
  process.on('SIGTERM', () => undefined);
  setInterval(() => undefined, 1_000);
}

const names = [
  'echo',
  'big',
  'hang',
  'crash',
  'garbage',
  'picture',
  'stray',
  'progress',
  'flood',
  'cancelled',
  'structured',
  'fails',
];
const tools = names.map((name) => ({
  name,
  description: name === 'echo' ? `Knows ${process.env['FAULTY_TOKEN'] ?? 'nothing'}` : name,
  inputSchema: { type: 'object', properties: { text: { type: 'string' }, bytes: { type: 'number' } } },
  ...(name === 'echo' ? { annotations: { readOnlyHint: true } } : {}),
}));

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: {
    readonly name?: string;
    readonly arguments?: Record<string, unknown>;
    readonly requestId?: unknown;
    readonly protocolVersion?: string;
    readonly _meta?: { readonly progressToken?: unknown };
  };
}

const send = (message: object): void =>
  void process.stdout.write(`${JSON.stringify({ ...message, jsonrpc: '2.0' })}\n`);
const answer = (id: number | undefined, result: object): void => send({ result, id });
const text = (value: string): object => ({ content: [{ type: 'text', text: value }] });

/** A red pixel. */
const picture = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';

function call({ id, params }: Message): void {
  const values = params?.arguments ?? {};
  calls += 1;
  switch (params?.name) {
    case 'echo':
      return answer(id, text(`${process.pid} ${calls} ${JSON.stringify(values)} ${process.env['FAULTY_TOKEN'] ?? ''}`));
    case 'big':
      return answer(id, text('x'.repeat(Number(values['bytes']))));
    case 'flood': {
      const progressToken = params._meta?.progressToken;
      const message = 'y'.repeat(2_000);
      for (let progress = 1; progress <= 5_000; progress += 1)
        send({ method: 'notifications/progress', params: { progressToken, progress, message } });
      return answer(id, text('done'));
    }
    case 'crash':
      console.error('fatal: the disk of the faulty server is full');
      return process.exit(9);
    case 'garbage':
      process.stdout.write('{"this is": not a message\n\0\u0001\n{"jsonrpc":"2.0","id":99999,"result":{}}\n[1,2]\n');
      return answer(id, text('clean again'));
    case 'picture':
      return answer(id, {
        content: [
          { type: 'image', data: picture, mimeType: 'image/png' },
          { type: 'resource', resource: { uri: 'file:///a.bin', blob: 'AAEC' } },
          { type: 'resource_link', uri: 'file:///b.txt', name: 'b' },
        ],
      });
    case 'stray': {
      const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
      child.unref(); // it is in a session of its own
      return answer(id, text(String(child.pid)));
    }
    case 'progress':
      for (const progress of [1, 2]) {
        const progressToken = params._meta?.progressToken;
        send({ method: 'notifications/progress', params: { progressToken, progress, total: 2, message: 'step' } });
      }
      // Progress that comes with its answer is of no use to anybody, and the library drops it.
      setTimeout(() => answer(id, text('through')), 50);
      return undefined;
    case 'cancelled':
      return answer(id, text(JSON.stringify(cancelled.length)));
    case 'structured':
      return answer(id, { content: [], structuredContent: { degrees: 21 } });
    case 'fails':
      return answer(id, { ...text('no such city'), isError: true });
    default: // `hang`
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line) as Message;
  if (modes.has('silent')) return;
  if (message.method === 'initialize') {
    answer(message.id, {
      protocolVersion: message.params?.protocolVersion,
      capabilities: { tools: {} },
      serverInfo: { name: 'faulty', version: '1' },
    });
  } else if (message.method === 'tools/list') answer(message.id, { tools });
  else if (message.method === 'tools/call') call(message);
  else if (message.method === 'notifications/cancelled') cancelled.push(message.params?.requestId);
});
