// The one Temporal runtime of a process: where its log goes, and whether it serves metrics of its own.
import { LoggerWithComposedMetadata } from '@temporalio/common';
import { DefaultLogger, Runtime, type LogLevel, type TelemetryOptions } from '@temporalio/worker';
import { messageOf } from '../errors.ts';
import type { Log } from '../telemetry/log.ts';

export interface RuntimeOptions {
  readonly log: Log;
  /** On 127.0.0.1; without it the SDK gathers no metrics. */
  readonly metricsPort?: number | undefined;
}

/** In a test or an `exec --local` with several workers the first one's log is used. */
export function installRuntime({ log, metricsPort }: RuntimeOptions): void {
  if (isRuntimeInstalled()) return;
  // The SDK gathers the facts for a dozen such lines a turn, a millisecond, before the logger's level drops them.
  LoggerWithComposedMetadata.prototype.trace = ignore;
  LoggerWithComposedMetadata.prototype.debug = ignore;
  const temporalLog = log.child('temporal');
  const logger = new DefaultLogger('INFO', ({ level, message, meta }) => write(temporalLog, level, message, meta));
  const logging = { forward: {}, filter: 'temporalio_sdk_core=WARN,temporalio_client=WARN,ERROR' };
  const install = (telemetryOptions: TelemetryOptions): void =>
    void Runtime.install({ logger, shutdownSignals: [], telemetryOptions });
  if (metricsPort === undefined) {
    install({ logging });
    return;
  }
  try {
    install({ logging, metrics: { prometheus: prometheusOn(metricsPort) } });
  } catch (error) {
    // Somebody took the port in the moment since it was found free: no reason to have no worker.
    log.warn('Temporal’s own metrics cannot be served', { port: metricsPort, reason: messageOf(error) });
    install({ logging });
  }
}

/** Base units and the suffixes that Prometheus wants; all names begin with `temporal_`. */
function prometheusOn(port: number) {
  return {
    bindAddress: `127.0.0.1:${port}`,
    countersTotalSuffix: true,
    unitSuffix: true,
    useSecondsForDurations: true,
  };
}

function ignore(): void {
  // Below the level of our log.
}

function isRuntimeInstalled(): boolean {
  return '_instance' in Runtime && Runtime._instance !== undefined;
}

/**
 * During an outage, or while Temporal refuses the key, Core repeats itself many times a second: those lines are for debugging.
 * That there is one is said once (temporal-watch.ts), and results that could not be told are kept (journal.ts).
 */
const outageNoise = new RegExp(
  [
    'retried \\d+ times',
    'Task not found when completing',
    'Error when recording heartbeat',
    'Network error while (sending worker heartbeat|completing)',
    'Error while polling for',
    'Error while completing workflow activation',
    'shutdown_worker rpc errored',
    'No workflows registered', // true of the worker's own queue, and meant
  ].join('|'),
);

/** Core's sentence of a workflow task that it answers with a failure; the failure is Rust's debug text. */
const taskFailure = 'Failing workflow task';
const failureCharactersMax = 500;

function write(log: Log, level: LogLevel, message: string, meta: Record<string, unknown> | undefined): void {
  if (message === taskFailure) {
    writeTaskFailure(log, meta);
    return;
  }
  const fields = meta?.['error'] === undefined ? {} : { reason: messageOf(meta['error']) };
  if (level === 'ERROR') log.error(message, fields);
  else if (level === 'WARN' && !outageNoise.test(message)) log.warn(message, fields);
  else log.debug(message, fields);
}

/** Temporal tries the task again for ever and says no more about it, so this is the line that an operator finds. */
function writeTaskFailure(log: Log, meta: Record<string, unknown> | undefined): void {
  const text = typeof meta?.['failure'] === 'string' ? meta['failure'] : '';
  const [, reason = text] = /message: "((?:[^"\\]|\\.)*)"/.exec(text) ?? [];
  const message = text.includes('Nondeterminism')
    ? 'A workflow cannot be replayed by this version; `kubiya execution list` shows its execution as stuck'
    : 'A workflow task failed and is tried again';
  log.error(message, { run: meta?.['run_id'], reason: reason.slice(0, failureCharactersMax) });
}
