// What happens in a worker's work, told once to everybody who counts: heartbeats and the log, Prometheus, traces.
import type { ModelFailureKind, Usage } from '../protocol/model.ts';
import type { ToolStatus } from '../protocol/tool.ts';

/** Whose work it was. Plain data, as everything in a fact: a fact may cross to another process. */
interface WorkOrigin {
  readonly executionId: string;
  readonly agentName: string;
  /** W3C trace context of whoever asked for the execution; absent when nobody traces. */
  readonly traceparent?: string | undefined;
  /** Epoch milliseconds. */
  readonly startedAtMs: number;
  readonly durationMs: number;
}

/** One thing that is over. Recorded by the worker that saw its end, once. */
export type WorkFact =
  | (WorkOrigin & {
      readonly type: 'execution_ended';
      readonly outcome: 'completed' | 'failed' | 'cancelled';
      readonly errorType?: string | undefined;
      readonly turns: number;
      readonly usage: Usage;
    })
  /** One attempt at a model. */
  | (WorkOrigin & {
      readonly type: 'model_called';
      readonly callId: string;
      readonly attempt: number;
      /** As the execution names it. */
      readonly model: string;
      readonly outcome: 'success' | ModelFailureKind;
      /** All zero unless it succeeded. */
      readonly usage: Usage;
      readonly toolCalls: number;
      readonly finishReason?: string | undefined;
      readonly answeredBy?: string | undefined;
      readonly firstDeltaMs?: number | undefined;
      /** What the provider said that it cost; absent when it said nothing. */
      readonly costUsd?: number | undefined;
      /** The same, or what the model's price makes of the usage. */
      readonly chargedUsd?: number | undefined;
      /** Of the HTTP bodies; absent when there was none. */
      readonly bytesSent?: number | undefined;
      readonly bytesReceived?: number | undefined;
    })
  | (WorkOrigin & {
      readonly type: 'tool_called';
      readonly callId: string;
      /** The name that the model used; it need not be that of a tool. */
      readonly tool: string;
      readonly isKnown: boolean;
      readonly outcome: ToolStatus;
    });

/** `record` must not throw and must not wait. */
export interface Meter {
  record(fact: WorkFact): void;
}

/** Numbers since the start of this worker, for heartbeats, the log and its limits. */
export interface WorkerCounters {
  executionsCompleted: number;
  executionsFailed: number;
  executionsCancelled: number;
  /** Of all ended executions together. */
  executionMs: number;
  /** Attempts at a model, also those that failed. */
  modelCalls: number;
  toolCalls: number;
  inputTokens: number;
  outputTokens: number;
}

/** A meter that counts, and passes each fact on to the others. */
export function createMeter(others: readonly Meter[] = []): Meter & { readonly counters: Readonly<WorkerCounters> } {
  const counters: WorkerCounters = {
    executionsCompleted: 0,
    executionsFailed: 0,
    executionsCancelled: 0,
    executionMs: 0,
    modelCalls: 0,
    toolCalls: 0,
    inputTokens: 0,
    outputTokens: 0,
  };
  return {
    counters,
    record: (fact) => {
      count(counters, fact);
      for (const other of others) other.record(fact);
    },
  };
}

function count(counters: WorkerCounters, fact: WorkFact): void {
  switch (fact.type) {
    case 'execution_ended':
      counters.executionMs += fact.durationMs;
      if (fact.outcome === 'completed') counters.executionsCompleted += 1;
      else if (fact.outcome === 'failed') counters.executionsFailed += 1;
      else counters.executionsCancelled += 1;
      return;
    case 'model_called':
      counters.modelCalls += 1;
      counters.inputTokens += fact.usage.inputTokens;
      counters.outputTokens += fact.usage.outputTokens;
      return;
    case 'tool_called':
      counters.toolCalls += 1;
      return;
  }
}
