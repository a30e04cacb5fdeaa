// Executions, model calls and tool calls as OpenTelemetry spans, by the conventions for generative AI; no prompts, no outputs.
import { createHash } from 'node:crypto';
import { parseTraceParent } from '../lib/trace-context.ts';
import type { Meter, WorkFact } from './meter.ts';
import { attributesOf, createExportQueue, type AttributeValue, type ExportQueue, type OtlpOptions } from './otlp.ts';

export interface TracerOptions extends OtlpOptions {
  readonly version: string;
  /** The provider of a model (`openai`, `anthropic`, …), undefined when it is not known. Must not throw. */
  readonly providerOf: (model: string) => string | undefined;
}

export interface Tracer extends Meter {
  readonly counters: ExportQueue<unknown>['counters'];
  stop(limitMs: number): Promise<void>;
}

export function createTracer(options: TracerOptions): Tracer {
  const { resource, version, providerOf } = options;
  const scope = { name: 'kubiya', version };
  const queue = createExportQueue<Span>(options, (spans) => ({
    resourceSpans: [{ resource: { attributes: attributesOf(resource) }, scopeSpans: [{ scope, spans }] }],
  }));
  return {
    record: (fact) => {
      const span = spanOf(fact, providerOf);
      if (span !== undefined) queue.push(span);
    },
    counters: queue.counters,
    stop: (limitMs) => queue.stop(limitMs),
  };
}

/** As protobuf's JSON has it: ids in hexadecimal, nanoseconds as text. */
interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: unknown[];
  readonly status: { readonly code?: number };
}

const internalKind = 1;
const clientKind = 3;
const errorStatus = 2;

/**
 * Every id follows from that of the execution or the call: the spans of one execution join, whichever workers made them, and
 * one that is sent twice is the same. Undefined when the caller does not sample.
 */
function spanOf(fact: WorkFact, providerOf: TracerOptions['providerOf']): Span | undefined {
  const caller = parseTraceParent(fact.traceparent);
  if (caller?.isSampled === false) return undefined;
  const traceId = caller?.traceId ?? digest(`trace:${fact.executionId}`, traceIdDigits);
  const rootId = digest(`execution:${fact.executionId}`, spanIdDigits);
  const { name, kind, ownId, isError, attributes } = describe(fact, providerOf);
  const parentSpanId = ownId === undefined ? caller?.spanId : rootId;
  return {
    traceId,
    spanId: ownId === undefined ? rootId : digest(ownId, spanIdDigits),
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    name,
    kind,
    startTimeUnixNano: nanoseconds(fact.startedAtMs),
    endTimeUnixNano: nanoseconds(fact.startedAtMs + Math.max(0, fact.durationMs)),
    attributes: attributesOf({
      'gen_ai.agent.name': fact.agentName,
      'gen_ai.conversation.id': fact.executionId,
      ...attributes,
    }),
    status: isError ? { code: errorStatus } : {},
  };
}

interface Description {
  readonly name: string;
  readonly kind: number;
  /** What tells it from others of the execution; undefined for the execution itself. */
  readonly ownId: string | undefined;
  readonly isError: boolean;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

function describe(fact: WorkFact, providerOf: TracerOptions['providerOf']): Description {
  switch (fact.type) {
    case 'execution_ended':
      return {
        name: `invoke_agent ${fact.agentName}`,
        kind: internalKind,
        ownId: undefined,
        isError: fact.outcome === 'failed',
        attributes: {
          'gen_ai.operation.name': 'invoke_agent',
          'gen_ai.usage.input_tokens': fact.usage.inputTokens,
          'gen_ai.usage.output_tokens': fact.usage.outputTokens,
          'kubiya.execution.outcome': fact.outcome,
          'kubiya.execution.turns': fact.turns,
          'error.type': fact.outcome === 'failed' ? (fact.errorType ?? 'agent') : undefined,
        },
      };
    case 'model_called':
      return {
        name: `chat ${fact.model}`,
        kind: clientKind,
        ownId: `model:${fact.executionId}:${fact.callId}:${fact.attempt}`,
        isError: fact.outcome !== 'success',
        attributes: {
          'gen_ai.operation.name': 'chat',
          'gen_ai.provider.name': providerOf(fact.model),
          'gen_ai.request.model': fact.model,
          'kubiya.call.attempt': fact.attempt,
          ...(fact.outcome === 'success' ? answerAttributes(fact) : { 'error.type': fact.outcome }),
        },
      };
    case 'tool_called':
      return {
        name: `execute_tool ${fact.tool.slice(0, nameCharactersMax)}`,
        kind: internalKind,
        ownId: `tool:${fact.executionId}:${fact.callId}`,
        isError: fact.outcome !== 'success',
        attributes: {
          'gen_ai.operation.name': 'execute_tool',
          'gen_ai.tool.name': fact.tool.slice(0, nameCharactersMax),
          'gen_ai.tool.call.id': fact.callId,
          'gen_ai.tool.type': 'function',
          'error.type': fact.outcome === 'success' ? undefined : fact.outcome,
        },
      };
  }
}

function answerAttributes(fact: Extract<WorkFact, { type: 'model_called' }>): Description['attributes'] {
  return {
    'gen_ai.response.model': fact.answeredBy,
    'gen_ai.response.finish_reasons': fact.finishReason === undefined ? undefined : [fact.finishReason],
    'gen_ai.usage.input_tokens': fact.usage.inputTokens,
    'gen_ai.usage.output_tokens': fact.usage.outputTokens,
    'gen_ai.usage.cache_read.input_tokens': fact.usage.cacheReadTokens,
    'kubiya.call.first_token_ms': fact.firstDeltaMs,
    'kubiya.call.cost_usd': fact.costUsd,
  };
}

/** A model may call a tool by any text. */
const nameCharactersMax = 200;
const traceIdDigits = 32;
const spanIdDigits = 16;

function digest(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}

/** Of epoch milliseconds, which a double holds to the microsecond. */
function nanoseconds(ms: number): string {
  return String(BigInt(Math.round(ms * 1_000)) * 1_000n);
}
