// The only place where signals are handled.

/** For a process that must outlive a terminal's Ctrl+C and a service manager's stop: it ends by other means. */
export function ignoreSignals(signals: readonly NodeJS.Signals[]): void {
  for (const signal of signals) process.on(signal, () => undefined);
}

const stopSignals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

export interface StopSignals {
  /** Called for every stop signal with its count from 1: the rung of the ladder. Must not throw. */
  onSignal(handler: (count: number, name: NodeJS.Signals) => void): void;
  dispose(): void;
}

/** Takes over SIGINT, SIGTERM and SIGHUP until disposed. A signal that comes before the first handler is given to it. */
export function installSignals(): StopSignals {
  let count = 0;
  const handlers: ((count: number, name: NodeJS.Signals) => void)[] = [];
  let early: NodeJS.Signals | undefined;
  const receive = (name: NodeJS.Signals): void => {
    count++;
    if (handlers.length === 0) early = name;
    for (const handler of handlers) handler(count, name);
  };
  for (const signal of stopSignals) process.on(signal, receive);
  return {
    onSignal: (handler) => {
      handlers.push(handler);
      if (early !== undefined) handler(count, early);
      early = undefined;
    },
    dispose: () => {
      for (const signal of stopSignals) process.off(signal, receive);
    },
  };
}
