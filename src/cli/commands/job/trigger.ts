// `kubiya job trigger`.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { KubiyaError, messageOf } from '../../../errors.ts';
import { createId } from '../../../lib/ids.ts';
import { webhookBodyBytesMax } from '../../../protocol/jobs.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { chooseRenderings, displayFlags } from '../../exec/flags.ts';
import { followToEnd } from '../../exec/follow.ts';
import { takeInterrupts } from '../../exec/interrupts.ts';
import { usage } from '../../flags.ts';
import { findJob } from '../../job/flags.ts';

export default defineCommand({
  meta: { description: 'run a job now' },
  scope: 'api',
  details:
    'Also a disabled one, and also while another run goes on. With --follow or --wait the exit code is that of the run, as in `exec`; Ctrl+C leaves, the run goes on.',
  examples: [
    ['kubiya job trigger nightly', 'prints the id of the execution'],
    ['kubiya job trigger nightly --follow', 'shows it to its end'],
    [
      `kubiya job trigger triage --body '{"issue": {"title": "It is slow"}}' --wait`,
      'as if its webhook had been called',
    ],
  ],
  args: {
    job: { type: 'positional', description: 'id or name of the job' },
    body: { type: 'text', valueName: 'json', description: 'what {{.body}} in the prompt stands for' },
    'body-file': { type: 'path', valueName: 'file', description: 'read the body from a file' },
    follow: { type: 'switch', alias: 'f', description: 'show the run until it ends' },
    wait: { type: 'switch', description: 'wait for the end and print only the answer' },
    'idempotency-key': {
      type: 'text',
      valueName: 'key',
      description: 'a second trigger with the same key is the first',
    },
    ...displayFlags,
  },
  run: async ({ args, output, cwd, loadConfig }) => {
    const isFollowed = args.follow || args.wait;
    const isStreamed = args.stream && !args.wait;
    const renderings = chooseRenderings({ ...args, stream: isStreamed }, output, { showsPrompt: true });
    const body = await readBody(args, cwd);
    const config = await loadConfig();
    const client = await connect(config);
    const { id } = await findJob(client, args.job);
    const run = await client.triggerJob(id, { body }, args['idempotency-key'] ?? createId());
    const executionId = run.execution_id ?? '';
    if (!isFollowed) {
      if (args.output === 'json' || args['stream-format'] === 'json') return await output.printJson(run);
      await output.print(executionId);
      return await output.note(`\`kubiya exec attach ${executionId}\` follows it`);
    }
    const interrupts = await takeInterrupts();
    try {
      return await followToEnd({
        client,
        executionId,
        renderer: renderings.create(executionId, undefined),
        interrupts,
        isOwner: false,
        timeoutMs: undefined,
        questions: output.isInteractive && !config.isNonInteractive ? output.questions : undefined,
      });
    } finally {
      interrupts.dispose();
    }
  },
});

async function readBody(
  { body, 'body-file': file }: { readonly body: string | undefined; readonly 'body-file': string | undefined },
  cwd: string,
): Promise<unknown> {
  if (body !== undefined && file !== undefined)
    throw usage('the body is given twice', 'flags_conflict', 'leave out --body or --body-file');
  const text = file === undefined ? body : await readBodyFile(resolve(cwd, file));
  if (text === undefined) return undefined;
  if (Buffer.byteLength(text) > webhookBodyBytesMax)
    throw usage(`the body is larger than ${webhookBodyBytesMax} bytes`, 'body_too_large');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw usage(`the body is not JSON: ${messageOf(error)}`, 'flag_invalid', 'put it in single quotes');
  }
}

async function readBodyFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new KubiyaError(`the file ${path} cannot be read: ${messageOf(error)}`, {
      kind: 'usage',
      code: 'body_file_unreadable',
      hint: 'check the path given to --body-file',
      cause: error,
    });
  }
}
