// A value that never shows itself by accident: printing, logging and JSON give [redacted], only reveal() gives the value.

const redacted = '[redacted]';

export interface Secret<T = string> {
  /** The value itself; call it as late as possible and never keep the result. */
  reveal(): T;
  toString(): string;
  toJSON(): string;
}

export function createSecret<T>(value: T): Secret<T> {
  return Object.freeze({
    reveal: () => value,
    toString: () => redacted,
    toJSON: () => redacted,
    // What node:util's inspect, and so console.log, calls; the registered symbol avoids an import for one name.
    [Symbol.for('nodejs.util.inspect.custom')]: () => redacted,
  });
}
