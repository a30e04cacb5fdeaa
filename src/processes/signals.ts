// The only place where signals are handled.
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

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

/**
 * Takes over SIGINT, SIGTERM and SIGHUP (or those that are wanted) until disposed, but not one that whoever started us had ignored: that is how nohup
 * and a shell's `&` say that it is not meant for us. A signal that comes before the first handler is given to it.
 */
export function installSignals(wanted = stopSignals): StopSignals {
  const taken = wanted.filter((signal) => !isIgnored(signal));
  let count = 0;
  const handlers: ((count: number, name: NodeJS.Signals) => void)[] = [];
  let early: NodeJS.Signals | undefined;
  const receive = (name: NodeJS.Signals): void => {
    count++;
    if (handlers.length === 0) early = name;
    for (const handler of handlers) handler(count, name);
  };
  for (const signal of taken) process.on(signal, receive);
  return {
    onSignal: (handler) => {
      handlers.push(handler);
      if (early !== undefined) handler(count, early);
      early = undefined;
    },
    dispose: () => {
      for (const signal of taken) process.off(signal, receive);
    },
  };
}

/** Linux tells it as a bit mask, signal 1 lowest; elsewhere nobody does, and the signal counts as meant for us. */
function isIgnored(signal: NodeJS.Signals): boolean {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    return ((BigInt(`0x${mask}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
  } catch {
    return false;
  }
}
