// Stands in for the `claude` program: speaks its stream format, and writes down how it was started.
import { appendFileSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const words = process.argv.slice(2);
const valueOf = (flag: string): string | undefined =>
  words.find((word) => word.startsWith(`--${flag}=`))?.slice(flag.length + 3);
const [line = ''] = (await Bun.stdin.text()).split('\n');
const message = JSON.parse(line) as { message: { content: [{ text: string }] } };
const prompt = message.message.content[0].text;
const config = valueOf('mcp-config') ?? '';
const sessionId = valueOf('resume') ?? 'session-1';
const record = {
  words,
  prompt,
  cwd: process.cwd(),
  configFile: config,
  mode: statSync(config).mode & 0o777,
  config: JSON.parse(readFileSync(config, 'utf8')) as unknown,
  keys: Object.keys(process.env).filter((name) => name.startsWith('KUBIYA_')),
};
appendFileSync(join(process.env['HOME'] ?? '', 'claude-runs.jsonl'), `${JSON.stringify(record)}\n`);

const say = (value: object): void => console.log(JSON.stringify(value));
say({ type: 'system', subtype: 'init', session_id: sessionId, tools: ['Bash'] });
console.log('a line that is no message');
if (prompt === 'fail') {
  say({
    type: 'result',
    subtype: 'error_during_execution',
    is_error: true,
    result: 'Invalid API key',
    session_id: sessionId,
  });
  process.exit(1);
}
if (prompt === 'crash') {
  console.error('segmentation fault');
  process.exit(139);
}
if (prompt === 'vanish') rmSync(process.cwd(), { recursive: true });
say({ type: 'assistant', message: { content: [{ type: 'text', text: 'Let me look.' }] } });
if (prompt === 'hang') {
  Bun.spawn(['setsid', 'sleep', '999']);
  await new Promise(() => undefined);
}
say({
  type: 'assistant',
  message: { content: [{ type: 'tool_use', id: 't1', name: 'Bash', input: { command: 'ls' } }] },
});
say({
  type: 'user',
  message: { content: [{ type: 'tool_result', tool_use_id: 't1', content: 'a.txt', is_error: false }] },
});
say({ type: 'something_new', value: 1 });
say({
  type: 'result',
  subtype: 'success',
  is_error: false,
  result: `The answer to: ${prompt.slice(0, 40)}`,
  session_id: sessionId,
  total_cost_usd: 0.25,
  usage: { input_tokens: 10, output_tokens: 5, cache_read_input_tokens: 100, cache_creation_input_tokens: 0 },
});
