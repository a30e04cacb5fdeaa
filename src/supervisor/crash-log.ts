// The supervisor's entries in worker.log: why a worker ended and what follows, written while no worker writes there.
import { createLog, type LogFormat } from '../telemetry/log.ts';
import { createRedactor } from '../telemetry/redact.ts';
import type { Decision } from './restart-policy.ts';

export interface CrashLogOptions {
  readonly path: string;
  readonly bytesMax: number;
  readonly backups: number;
  readonly format: LogFormat;
  /** Values that must not be seen. */
  readonly secrets: readonly string[];
}

/** Opens the log, writes, closes it: the next worker has it for itself. Never throws. */
export function logEnd(
  { path, bytesMax, backups, format, secrets }: CrashLogOptions,
  decision: Decision,
  stderrLines: readonly string[],
): void {
  const redactor = createRedactor();
  for (const secret of secrets) redactor.register(secret);
  const file = { path, bytesMax, backups };
  const log = createLog({ component: 'supervisor', level: 'info', format, redactor, file });
  if (decision.kind === 'stopped') {
    log.info(`The supervision ends: ${decision.reason}`, { exit_code: decision.exitCode ?? undefined });
  } else {
    const stderr = log.child('stderr');
    for (const line of stderrLines) stderr.error(line);
    const fields = { exit_code: decision.exitCode ?? undefined, hint: decision.hint ?? undefined };
    if (decision.kind === 'failed') log.error(`Not started again: ${decision.reason}`, fields);
    else if (decision.afterMs === 0) log.warn(restartWords(decision), fields);
    else log.error(restartWords(decision), { ...fields, crashes_in_a_row: decision.crashesInRow });
  }
  log.close();
}

function restartWords({ reason, afterMs, isCrashLoop }: Extract<Decision, { kind: 'restart' }>): string {
  const next = afterMs === 0 ? 'at once' : `in ${(afterMs / 1000).toFixed(1)} s`;
  return `${isCrashLoop ? 'Crash loop: ' : ''}${reason}; it is started again ${next}`;
}
