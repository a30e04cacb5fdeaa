// The only place where signals are handled.

/** For a process that must outlive a terminal's Ctrl+C and a service manager's stop: it ends by other means. */
export function ignoreSignals(signals: readonly NodeJS.Signals[]): void {
  for (const signal of signals) process.on(signal, () => undefined);
}
