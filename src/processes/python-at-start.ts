// Makes a queue's Python environment of its requirements.txt as soon as the worker runs, so that the first tool need not wait for it.
import { existsSync } from 'node:fs';
import type { WorkerPaths } from '../config/paths.ts';
import { messageOf } from '../errors.ts';
import { preparePython } from '../tools/python-environment.ts';
import type { InstanceScope } from './instance-scope.ts';
import type { Teardown } from './teardown.ts';

/** A list of large packages on a slow line; whoever needs more gets it from the first Python tool. */
const preparationMsMax = 1_800_000;
/** What pip says when it fails, which is at its end. */
const outputBytesMax = 8_192;
/** pip is told to stop, and killed two seconds later. */
const stopLimitMs = 4_000;

/** Returns at once: nothing waits for it, and a failure is a line of the log that the first Python tool will repeat. */
export function preparePythonAtStart(
  { place, scope }: { readonly place: WorkerPaths; readonly scope: InstanceScope },
  teardown: Teardown,
): void {
  if (!existsSync(place.requirementsFile)) return;
  const log = scope.log.child('python');
  const stop = new AbortController();
  const startMs = performance.now();
  log.info('Preparing the Python environment of requirements.txt', { directory: place.venvDirectory });
  const prepared = preparePython({
    callId: 'start',
    executionId: 'start',
    workspace: place.workspaceDirectory,
    environment: scope.environment,
    spawner: scope.spawner,
    signal: AbortSignal.any([stop.signal, AbortSignal.timeout(preparationMsMax)]),
    onOutput: () => undefined,
    outputBytesMax,
    timeoutMs: preparationMsMax,
    python: { directory: place.directory },
  }).then(
    (result) => {
      const duration_ms = Math.round(performance.now() - startMs);
      if (result.ok) log.info('The Python environment is ready', { duration_ms });
      else if (!stop.signal.aborted) log.warn('The Python environment is not ready', { reason: result.problem });
    },
    (error: unknown) => log.error('The Python environment is not ready', { reason: messageOf(error) }),
  );
  teardown.add('Python environment', stopLimitMs, async () => {
    stop.abort();
    await prepared;
  });
}
