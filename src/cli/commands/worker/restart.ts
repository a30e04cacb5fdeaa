// `kubiya worker restart`.
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'drain a daemon and start it again with the same options' },
  scope: 'here',
  details:
    'Supervisor and worker are started from the program that is on disk now: that is how an update arrives.\n' +
    'Without --queue-id it is the only worker here. A worker in the foreground is started again where it was started.',
  examples: [['kubiya worker restart --queue-id prod-queue', 'after an update; returns when the new worker is ready']],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const { paths, worker } = await loadConfig();
    const { restartWorker } = await import('../../../processes/worker-restart.ts');
    const done = await restartWorker(paths, worker.queue);
    if (args.json) return await output.printJson(done);
    await output.note(
      `the worker of the queue ${done.queue} runs again: ` +
        `pid ${done.previous_pid} → ${done.pid}, version ${done.previous_version} → ${done.version}`,
    );
  },
});
