// `kubiya worker start`: a worker in the foreground, or with -d a supervised one in the background.
import { defineCommand } from '../../command.ts';
import { usage } from '../../flags.ts';
import type { Output } from '../../output.ts';
import { shellWord } from '../../../lib/text.ts';
import type { StartedDaemon } from '../../../processes/daemon.ts';
import { processIo } from '../../process-io.ts';

export default defineCommand({
  meta: { description: 'start a worker, in the foreground or supervised in the background' },
  scope: 'worker',
  details:
    'Without KUBIYA_API_KEY it uses the running local server, or starts one of its own that ends with it.\n' +
    'The first signal drains, the second cancels running work, the third leaves at once.\n' +
    'With -d it returns when the worker is ready; a supervisor then starts it again whenever it crashes or hangs.',
  examples: [
    ['kubiya worker start --queue-id my-queue --type local', 'on this machine, with no account'],
    [
      'KUBIYA_API_KEY=… kubiya worker start --queue-id 4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49',
      'on a queue of the Kubiya control plane',
    ],
    ['kubiya worker start --queue-id prod-queue -d', 'in the background, for months'],
    [
      'kubiya worker start --queue-id ci --model kubiya/offline --drain-timeout 2m',
      'without a language model, draining for two minutes',
    ],
  ],
  args: {
    daemon: { type: 'switch', alias: 'd', description: 'the same as --mode daemon' },
    json: { type: 'switch', description: 'with -d: print what was started as JSON' },
  },
  run: async ({ args, output, loadConfig, commandLine, cwd }) => {
    const config = await loadConfig();
    const { queue } = config.worker;
    if (queue === undefined)
      throw usage('no queue is given', 'queue_missing', 'name it with --queue-id, or set QUEUE_ID');
    const isDaemon = args.daemon || config.worker.mode === 'daemon';
    if (args.json && !isDaemon)
      throw usage('--json needs -d', 'flags_conflict', 'LOG_FORMAT=json is what a foreground worker has');
    // Our own supervisor starts the worker with the words that were typed.
    // The end of pid 1 is the end of its container: there the worker stays, and the container's own restart policy supervises it.
    const isPidOne = process.pid === 1;
    if (isDaemon && isPidOne) await output.note('as pid 1 of a container the worker stays in the foreground');
    if (isDaemon && !isPidOne && config.supervisedBy === undefined) {
      const { startDaemon } = await import('../../../processes/daemon.ts');
      const started = await startDaemon(config, queue, { words: commandLine, cwd, io: processIo(output) });
      await (args.json ? output.printJson(started) : printStarted(output, started));
      return 0;
    }
    const { runWorkerProcess } = await import('../../../processes/worker.ts');
    return await runWorkerProcess(config, processIo(output));
  },
});

async function printStarted(output: Output, { queue, pid, log_file, webui_url }: StartedDaemon): Promise<void> {
  const of = `--queue-id ${shellWord(queue)}`;
  const rows: readonly (readonly [string, string | null])[] = [
    ['log', log_file],
    ['web', webui_url],
    ['status', `kubiya worker status ${of}`],
    ['follow', `kubiya worker logs -f ${of}`],
    ['stop', `kubiya worker stop ${of}`],
  ];
  await output.print(`The worker of the queue ${queue} is ready in the background (pid ${pid})`);
  for (const [name, value] of rows) if (value !== null) await output.print(`  ${name.padEnd(8)}${value}`);
}
