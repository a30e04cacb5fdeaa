// `kubiya worker stop`.
import { isPlaceAlive, listWorkerPlaces, selectWorkerPlace } from '../../../supervisor/select.ts';
import type { StoppedWorker } from '../../../processes/worker-stop.ts';
import { messageOf } from '../../../errors.ts';
import { defineCommand } from '../../command.ts';
import { jsonFlag, usage } from '../../flags.ts';
import { processIo } from '../../process-io.ts';

export default defineCommand({
  meta: { description: 'stop a worker of this machine and wait until it is gone' },
  scope: 'here',
  details: 'Without --queue-id it is the only worker here. Running calls are drained first; nothing is left behind.',
  examples: [
    ['kubiya worker stop --queue-id prod-queue', 'drain it, then stop it'],
    ['kubiya worker stop --all --timeout 2m', 'every worker of this machine, each with two minutes to drain'],
    ['kubiya worker stop --queue-id prod-queue --force', 'at once; also one that does not answer'],
  ],
  args: {
    all: { type: 'switch', description: 'stop every worker of this machine' },
    force: { type: 'switch', alias: 'f', description: 'do not drain; also end one that does not answer' },
    timeout: {
      type: 'duration',
      minMs: 0,
      maxMs: 86_400_000,
      valueName: 'duration',
      description: 'what running calls get, instead of the worker’s own --drain-timeout',
    },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const { paths, worker } = await loadConfig();
    if (args.force && args.timeout !== undefined)
      throw usage('--force and --timeout exclude each other', 'flags_conflict', '--force does not drain');
    const { stopWorker } = await import('../../../processes/worker-stop.ts');
    const places = args.all
      ? listWorkerPlaces(paths.workersDirectory).filter(isPlaceAlive)
      : [selectWorkerPlace(paths.workersDirectory, worker.queue)];
    const options = { isForced: args.force, timeoutMs: args.timeout, io: processIo(output) };
    const ends = await Promise.allSettled(places.map((place) => stopWorker(place, options)));
    const stopped = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
    const failures = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
    if (args.json && (args.all || failures.length === 0)) await output.printJson(args.all ? stopped : stopped[0]);
    else for (const one of stopped) await output.note(sentence(one));
    if (places.length === 0 && !args.json) await output.note('no worker is running');
    // One that does not end hides none of the others.
    for (const failure of failures.slice(1)) await output.note(messageOf(failure));
    if (failures.length > 0) throw failures[0];
  },
});

function sentence({ queue, was_running, pid, calls_finished, calls_stopped }: StoppedWorker): string {
  if (!was_running) return `the worker of the queue ${queue} is not running`;
  const drained =
    calls_finished === null ? '' : `; running calls: ${calls_finished} finished, ${calls_stopped ?? 0} stopped`;
  return `the worker of the queue ${queue} (pid ${pid}) has stopped${drained}`;
}
