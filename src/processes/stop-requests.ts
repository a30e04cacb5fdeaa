// The stop ladder of a worker: drain, cancel, leave; climbed by signals, by `worker stop` and by the worker's own limits.
import { type StopRequest, type StopRung, stopRungs } from '../protocol/instance.ts';
import type { StopSignals } from './signals.ts';

export interface StopStep extends StopRequest {
  /** True when a person or a service manager sent a signal. */
  readonly isSignal: boolean;
}

export interface StopRequests {
  /** Called once for each rung that is reached, with those below it first. One that came before is told at once. Must not throw. */
  onStep(handler: (step: StopStep) => void): void;
  /** Asking for a rung that is reached already changes nothing: the supervisor's word and `pkill`'s signal count once. */
  request(request: StopRequest): void;
}

export function createStopRequests(signals: StopSignals): StopRequests {
  const steps: StopStep[] = [];
  const handlers: ((step: StopStep) => void)[] = [];
  const climb = (request: StopRequest, isSignal: boolean): void => {
    const rungs = stopRungs.slice(steps.length, stopRungs.indexOf(request.rung) + 1);
    for (const rung of rungs) {
      const step = { ...request, rung, isSignal };
      steps.push(step);
      for (const handler of handlers) handler(step);
    }
  };
  signals.onSignal((count, name) => climb({ rung: rungOf(count), reason: name }, true));
  return {
    onStep: (handler) => {
      handlers.push(handler);
      for (const step of steps) handler(step);
    },
    request: (request) => climb(request, false),
  };
}

function rungOf(signalCount: number): StopRung {
  return stopRungs[signalCount - 1] ?? 'leave';
}
