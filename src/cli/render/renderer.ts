// What prints an execution: the text renderer, the JSON renderer, or one that waits for the end.
import type { FollowedEvent } from '../../controlplane/followed-event.ts';

/** How an execution ended, in the words of every renderer. */
export interface Outcome {
  readonly executionId: string;
  /** Lower case. */
  readonly status: string;
  readonly response: string;
  readonly error: string | undefined;
  /** What to do about the error. */
  readonly hint: string | undefined;
  readonly durationMs: number;
  readonly usage: Readonly<Record<string, number>>;
  readonly costUsd: number | undefined;
  /** The price of a model was not known, so the dearest known one stands for it. */
  readonly isCostEstimated: boolean;
}

export interface Renderer {
  event(event: FollowedEvent): Promise<void>;
  /** Something about the connection or a signal, for people. */
  notice(message: string): Promise<void>;
  finish(outcome: Outcome): Promise<void>;
  /** Nothing more is printed, but the execution has not ended. */
  pause(): Promise<void>;
}
