// The one line of the log that says what became of a call; the guide's `grep "Activity failed"` finds it.
import type { WorkerDeps } from '../deps.ts';

interface EndedCall {
  readonly execution: string;
  readonly turn: number;
  /** What was called: `tool` or `model`, with its name. */
  readonly called: { readonly tool: string } | { readonly model: string; readonly attempt: number };
  readonly durationMs: number;
  /** Why it failed; undefined when it did not. */
  readonly reason: string | undefined;
}

/** A reason can be a tool's whole output; its beginning says enough in a log. */
const reasonLengthMax = 500;

/** Redacts before it cuts: half a secret would not be recognised. */
export function logCall({ log, redactor }: Pick<WorkerDeps, 'log' | 'redactor'>, call: EndedCall): void {
  const fields = {
    execution: call.execution,
    turn: call.turn,
    ...call.called,
    duration_ms: Math.round(call.durationMs),
  };
  if (call.reason === undefined) {
    log.info('Activity completed', fields);
    return;
  }
  const reason = redactor.redact(call.reason);
  const isLong = reason.length > reasonLengthMax;
  const shown = isLong ? `${reason.slice(0, reasonLengthMax).toWellFormed()}…` : reason;
  log.warn('Activity failed', { ...fields, reason: shown });
}
