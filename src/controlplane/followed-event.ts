// What the reader of an execution's stream is given.

/** One event of the execution, nested and flat frames in the same shape, each fact once. */
export interface FollowedEvent {
  /** A type of protocol/events.ts or any other that the server sends (`history_complete`, `degraded`). */
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** RFC 3339 with zone. */
  readonly timestamp: string;
}
