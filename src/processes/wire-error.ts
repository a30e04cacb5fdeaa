// An error on its way to another process of ours: what decides about it and what is logged of it arrives whole.
import { errnoOf, type ErrorKind, KubiyaError, messageOf } from '../errors.ts';

export interface WireError {
  readonly message: string;
  readonly stack?: string | undefined;
  /** The errno code of a system error. */
  readonly code?: string | undefined;
  /** Present when it is a `KubiyaError`. */
  readonly known?: {
    readonly kind: ErrorKind;
    readonly code: string;
    readonly hint?: string | undefined;
    readonly isRetryable: boolean;
  };
  readonly cause?: WireError | undefined;
}

/** Causes beyond this depth say nothing new, and a cycle ends here. */
const causesMax = 5;

export function toWire(error: unknown, depth = 0): WireError {
  if (!(error instanceof Error)) return { message: messageOf(error) };
  const { message, stack, cause } = error;
  const known =
    error instanceof KubiyaError
      ? { kind: error.kind, code: error.code, hint: error.hint, isRetryable: error.isRetryable }
      : undefined;
  return {
    message,
    stack,
    ...(known === undefined ? { code: errnoOf(error) } : { known }),
    ...(cause === undefined || depth >= causesMax ? {} : { cause: toWire(cause, depth + 1) }),
  };
}

export function fromWire({ message, stack, code, known, cause }: WireError): Error {
  const inner = cause === undefined ? undefined : fromWire(cause);
  const error =
    known === undefined
      ? Object.assign(
          new Error(message, inner === undefined ? undefined : { cause: inner }),
          code === undefined ? {} : { code },
        )
      : new KubiyaError(message, { ...known, cause: inner });
  if (stack !== undefined) error.stack = stack;
  return error;
}
