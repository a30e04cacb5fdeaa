// An OpenAI-compatible server that answers at once, as a process of its own so that its time is nobody else's.
//
// The model's name is the script: `turns-10` answers ten times with one shell command that appends the turn's number to a
// file and then with a text; `turns-10-slow-5` sleeps a second in the fifth; `files-10` writes a small file instead of
// running a command; `drip-5` answers with five words, one every 100 ms. The turn is read from the conversation, so the
// server keeps nothing but a list of when it was asked.

interface ChatRequest {
  readonly model: string;
  readonly messages: readonly { readonly role: string }[];
}

/** Milliseconds since the epoch, finer than Date.now: times of different processes are subtracted from each other. */
const now = (): number => performance.timeOrigin + performance.now();
const dripIntervalMs = 100;

let asked: number[] = [];
let firstChunkAt = 0;

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  routes: {
    '/v1/chat/completions': async (request) => {
      asked.push(now());
      const { model, messages } = (await request.json()) as ChatRequest;
      const turn = 1 + messages.filter(({ role }) => role === 'tool').length;
      const [kind = '', count = '0', , slow] = model.split('-');
      if (kind === 'drip') return stream(drip(Number(count)));
      return stream(turn > Number(count) ? answer('done') : toolCall(kind, turn, String(turn) === slow));
    },
    /** When each request came since the last look, and when the last drip began. */
    '/asked': () => {
      const times = { asked, firstChunkAt };
      asked = [];
      return Response.json(times);
    },
  },
});
console.log(server.port);

function stream(events: string | ReadableStream<string>): Response {
  const body = typeof events === 'string' ? events : events.pipeThrough(new TextEncoderStream());
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
}

function toolCall(kind: string, turn: number, isSlow: boolean): string {
  const [name, input] =
    kind === 'files'
      ? ['save_file', { file_name: 'note.txt', contents: `${turn}\n` }]
      : ['run_shell_command', { command: `echo ${turn} >> ledger${isSlow ? '; sleep 1' : ''}` }];
  const call = { index: 0, id: `call_${turn}`, type: 'function', function: { name, arguments: JSON.stringify(input) } };
  return chunk({ role: 'assistant', tool_calls: [call] }, 'tool_calls') + end;
}

function answer(text: string): string {
  return chunk({ role: 'assistant', content: text }) + chunk({}, 'stop') + end;
}

function drip(count: number): ReadableStream<string> {
  let word = 0;
  return new ReadableStream({
    pull: async (controller) => {
      if (word === 0) firstChunkAt = now();
      else await Bun.sleep(dripIntervalMs);
      if (word < count) return controller.enqueue(chunk({ role: 'assistant', content: `drop${word++} ` }));
      controller.enqueue(chunk({}, 'stop') + end);
      controller.close();
    },
  });
}

function chunk(delta: Record<string, unknown>, finishReason: string | null = null): string {
  return `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finishReason }] })}\n\n`;
}

const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
const end: string = `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [], usage })}\n\ndata: [DONE]\n\n`;
