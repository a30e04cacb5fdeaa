// Errors a user or their environment causes, with the exit code and the hint that the command line prints.

/** What kind of thing went wrong; each kind has one exit code that scripts rely on. */
export type ErrorKind =
  | 'agent_failed' // the agent ran and did not succeed
  | 'usage' // the command line is wrong
  | 'authentication' // a missing, expired or refused credential
  | 'api_refused' // the control plane answered with a refusal
  | 'network' // a server could not be reached
  | 'configuration' // a setting, a file or this machine is not fit
  | 'limit' // a limit or a budget is spent
  | 'denied' // a permission was denied or an approval expired
  | 'timeout' // something took longer than it was given
  | 'internal' // our bug
  | 'interrupted'; // a signal ended it

export const exitCodes: Readonly<Record<ErrorKind, number>> = {
  agent_failed: 1,
  usage: 2,
  authentication: 3,
  api_refused: 4,
  network: 5,
  configuration: 6,
  limit: 7,
  denied: 8,
  timeout: 9,
  internal: 70,
  interrupted: 130,
};

export interface KubiyaErrorOptions {
  readonly kind: ErrorKind;
  /** Stable identifier in snake_case, for programs: `agent_not_found`, `disk_full`. */
  readonly code: string;
  /** What to do next, naming a command where there is one. */
  readonly hint?: string | undefined;
  /** True when the same call may succeed later without a change. */
  readonly isRetryable?: boolean | undefined;
  readonly cause?: unknown;
}

/** An error whose message is one sentence for the user; everything that is not a KubiyaError is our bug. */
export class KubiyaError extends Error {
  override readonly name = 'KubiyaError';
  readonly kind: ErrorKind;
  readonly code: string;
  readonly hint: string | undefined;
  readonly isRetryable: boolean;

  constructor(message: string, options: KubiyaErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = options.kind;
    this.code = options.code;
    this.hint = options.hint;
    this.isRetryable = options.isRetryable ?? false;
  }

  get exitCode(): number {
    return exitCodes[this.kind];
  }
}

/** The errno code of a system error (`ENOSPC`, `EACCES`), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** A thrown value as text for a log or a wrapped message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
