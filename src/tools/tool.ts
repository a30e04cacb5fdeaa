// What a tool is: one declarative value whose `run` parses the model's arguments, keeps the limits and always returns a result.
import { toJsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import type { Spawner } from '../lib/spawn.ts';
import { createOutputBuffer } from '../lib/text.ts';
import type { Execution } from '../protocol/control-plane.ts';
import type { ToolSpec } from '../protocol/model.ts';
import type { CallPlan, ToolEffect, ToolResult } from '../protocol/tool.ts';

/** What one result may put into the transcript; with the 400 kB budget of a transcript four of them fit. */
export const toolOutputBytesMax = 100_000;
/** How long a tool may go on after its stop before its call is answered without it: TERM, 2 s of grace, KILL, reaping. */
const unwindMs = 5_000;
/** More problems than this in one set of arguments are noise to a model. */
const argumentProblemsMax = 8;

/** Reason for `AbortController.abort(…)` of `ToolContext.signal`: every other reason counts as `cancelled`. */
export const drainReason = 'drain';

/** What a call is given; everything a tool may touch comes from here. */
export interface ToolContext {
  readonly callId: string;
  readonly executionId: string;
  /** Absolute path of an existing directory. */
  readonly workspace: string;
  /** The complete environment of children: the allow-list and the execution's own variables. */
  readonly environment: Readonly<Record<string, string>>;
  readonly spawner: Spawner;
  /** Aborted with `drainReason` when the worker must stop (result `interrupted`), else because of a cancel (`cancelled`). */
  readonly signal: AbortSignal;
  /** Live output for people; the caller bounds and redacts it. Must not throw. */
  onOutput(chunk: string): void;
  readonly limits: {
    /** UTF-8 bytes of output that the model reads; default `toolOutputBytesMax`. */
    readonly outputBytesMax?: number | undefined;
    /** An upper bound over every tool's own time limit. */
    readonly timeoutMs?: number | undefined;
  };
  /** The queue's Python directory; holds `venv/` and, if the user wrote one, `requirements.txt`. */
  readonly python: { readonly directory: string };
  /** Looks an execution up in the control plane; rejects with a KubiyaError. */
  readonly readExecution?: ((executionId: string) => Promise<Execution>) | undefined;
}

/** What a tool's own code sees: its signal also ends at the time limit, its limits are filled in. */
export interface ToolRun extends Omit<ToolContext, 'limits'> {
  readonly outputBytesMax: number;
  readonly timeoutMs: number;
}

/** A tool's verdict. `error` is one sentence for people and models alike; `originalBytes` only when output was cut. */
export interface ToolOutcome {
  readonly status: 'success' | 'failed';
  readonly output: string;
  readonly error?: string | undefined;
  readonly originalBytes?: number | undefined;
}

/** A value, or a sentence for the model. */
export type Attempt<TValue> =
  | { readonly ok: true; readonly value: TValue }
  | { readonly ok: false; readonly problem: string };

export interface Tool {
  readonly name: string;
  readonly spec: ToolSpec;
  /** What a call gets that asks for no other time. */
  readonly usualTimeMs: number;
  /** What running these arguments twice would do; arguments that will be refused are `read_only`. Never throws. */
  effect(rawArguments: string): ToolEffect;
  /**
   * How the workflow carries out these arguments, so that waiting holds no slot of a worker. Undefined: the call is an
   * activity; so is one whose arguments are wrong or refused, and `run` then says why. Never throws.
   */
  plan?(rawArguments: string): CallPlan | undefined;
  /** Never rejects for anything the model, the user or the machine did; whatever it rejects with is our bug. */
  run(rawArguments: string, context: ToolContext): Promise<ToolResult>;
}

type InputSchema = v.GenericSchema<unknown, object>;

export interface ToolDefinition<TSchema extends InputSchema> {
  readonly name: string;
  /** From a sibling `.txt`. */
  readonly description: string;
  readonly input: TSchema;
  readonly effect: ToolEffect | ((input: v.InferOutput<TSchema>) => ToolEffect);
  readonly timeoutMs: number | { readonly usual: number; of(input: v.InferOutput<TSchema>): number };
  /** Default false: null stands for an argument that was left out. */
  readonly keepsNulls?: boolean;
  /** Honours `run.signal`; returns what it has when stopped. */
  run(input: v.InferOutput<TSchema>, run: ToolRun): Promise<ToolOutcome>;
}

export function defineTool<TSchema extends InputSchema>(definition: ToolDefinition<TSchema>): Tool {
  const { $schema: _dialect, ...inputSchema } = toJsonSchema(definition.input, {
    typeMode: 'input',
    ignoreActions: ['trim', 'check', 'finite'],
  });
  return {
    name: definition.name,
    spec: { name: definition.name, description: definition.description.trim(), inputSchema },
    usualTimeMs: typeof definition.timeoutMs === 'number' ? definition.timeoutMs : definition.timeoutMs.usual,
    effect: (rawArguments) => {
      const parsed = parseArguments(definition, rawArguments);
      if (!parsed.ok) return 'read_only';
      return typeof definition.effect === 'function' ? definition.effect(parsed.input) : definition.effect;
    },
    run: (rawArguments, context) => runTool(definition, rawArguments, context),
  };
}

export interface PlannedToolDefinition<TSchema extends InputSchema> extends Pick<
  ToolDefinition<TSchema>,
  'name' | 'description' | 'input' | 'effect'
> {
  readonly usualTimeMs: number;
  /** The plan, or the sentence by which these arguments are refused. */
  plan(input: v.InferOutput<TSchema>): Attempt<CallPlan>;
}

/** A tool whose calls the workflow carries out. */
export function definePlannedTool<TSchema extends InputSchema>(definition: PlannedToolDefinition<TSchema>): Tool {
  const { name, description, input: schema, effect, usualTimeMs } = definition;
  const tool = defineTool({
    name,
    description,
    input: schema,
    effect,
    timeoutMs: usualTimeMs,
    run: (input) => {
      const attempt = definition.plan(input);
      const sentence = attempt.ok ? `The version that runs this agent cannot carry out ${name}` : attempt.problem;
      return Promise.resolve(failure(sentence));
    },
  });
  return {
    ...tool,
    plan: (rawArguments) => {
      const parsed = parseArguments(definition, rawArguments);
      const attempt = parsed.ok ? definition.plan(parsed.input) : undefined;
      return attempt?.ok === true ? attempt.value : undefined;
    },
  };
}

/** A failed outcome whose sentence is also what the model reads. */
export function failure(sentence: string): ToolOutcome {
  return { status: 'failed', output: sentence, error: sentence };
}

async function runTool<TSchema extends InputSchema>(
  definition: ToolDefinition<TSchema>,
  rawArguments: string,
  context: ToolContext,
): Promise<ToolResult> {
  const startedAt = performance.now();
  const outputBytesMax = context.limits.outputBytesMax ?? toolOutputBytesMax;
  const finish = (result: Omit<ToolResult, 'durationMs'>): ToolResult => ({
    ...result,
    durationMs: Math.round(performance.now() - startedAt),
  });
  const parsed = parseArguments(definition, rawArguments);
  if (!parsed.ok) return finish({ status: 'failed', output: parsed.problem, error: parsed.problem });

  const { timeoutMs: own } = definition;
  const ownMs = typeof own === 'number' ? own : own.of(parsed.input);
  const timeoutMs = Math.min(ownMs, context.limits.timeoutMs ?? Number.POSITIVE_INFINITY);
  const limit = startLimit(context.signal, timeoutMs);
  try {
    const onOutput = (chunk: string): void => {
      if (!limit.isReleased()) context.onOutput(chunk);
    };
    const run: ToolRun = { ...context, onOutput, signal: limit.signal, outputBytesMax, timeoutMs };
    const outcome = context.signal.aborted
      ? undefined
      : await Promise.race([definition.run(parsed.input, run), limit.abandoned]);
    return finish(resultOf(outcome, { stop: limit.stop(), timeoutMs, outputBytesMax }));
  } finally {
    limit.release();
  }
}

type Stop = 'time_limit' | 'cancelled' | 'drain';

/** One signal for the caller's stop and the time limit, remembering which came first. */
function startLimit(outer: AbortSignal, timeoutMs: number) {
  const controller = new AbortController();
  let stop: Stop | undefined;
  let isReleased = false;
  let giveUp: NodeJS.Timeout | undefined;
  let abandon: (value: undefined) => void = () => undefined;
  const abandoned = new Promise<undefined>((resolve) => (abandon = resolve));
  const abort = (reason: Stop): void => {
    if (stop !== undefined) return;
    stop = reason;
    giveUp = setTimeout(() => abandon(undefined), unwindMs);
    controller.abort(reason);
  };
  const onOuter = (): void => abort(outer.reason === drainReason ? 'drain' : 'cancelled');
  const timer = setTimeout(() => abort('time_limit'), timeoutMs);
  if (outer.aborted) onOuter();
  outer.addEventListener('abort', onOuter, { once: true });
  return {
    signal: controller.signal,
    abandoned,
    stop: () => stop,
    isReleased: () => isReleased,
    release: () => {
      isReleased = true;
      clearTimeout(timer);
      clearTimeout(giveUp);
      outer.removeEventListener('abort', onOuter);
    },
  };
}

interface Ending {
  readonly stop: Stop | undefined;
  readonly timeoutMs: number;
  readonly outputBytesMax: number;
}

/** A tool that succeeded although it was being stopped has succeeded; otherwise the stop names the status. */
function resultOf(outcome: ToolOutcome | undefined, ending: Ending): Omit<ToolResult, 'durationMs'> {
  const buffer = createOutputBuffer({ bytesMax: ending.outputBytesMax });
  buffer.push(outcome?.output ?? '');
  const output = buffer.text();
  const originalBytes = outcome?.originalBytes ?? (buffer.isTruncated ? buffer.bytesTotal : undefined);
  const size = originalBytes === undefined ? {} : { originalBytes };
  if (outcome?.status === 'success') return { status: 'success', output, ...size };
  if (ending.stop === undefined) {
    return { status: 'failed', output, error: outcome?.error ?? 'The tool failed', ...size };
  }
  const { status, sentence } = stopWords(ending.stop, ending.timeoutMs);
  const text = output === '' ? sentence : `${output}\n[${sentence}]`;
  const time = ending.stop === 'time_limit' ? { isOutOfTime: true } : {};
  return { status, output: text, error: sentence, ...size, ...time };
}

function stopWords(stop: Stop, timeoutMs: number): { status: ToolResult['status']; sentence: string } {
  switch (stop) {
    case 'time_limit':
      return { status: 'failed', sentence: `Stopped at its time limit of ${timeoutMs / 1000} s` };
    case 'cancelled':
      return { status: 'cancelled', sentence: 'Stopped because the call was cancelled' };
    case 'drain':
      return {
        status: 'interrupted',
        sentence: 'Stopped because the worker had to stop; its effects may be incomplete',
      };
  }
}

type Parsed<TInput> = { readonly ok: true; readonly input: TInput } | { readonly ok: false; readonly problem: string };

function parseArguments<TSchema extends InputSchema>(
  definition: Pick<ToolDefinition<TSchema>, 'name' | 'input' | 'keepsNulls'>,
  rawArguments: string,
): Parsed<v.InferOutput<TSchema>> {
  let value: unknown;
  try {
    // Models send nothing at all to a tool without parameters.
    value = rawArguments.trim() === '' ? {} : JSON.parse(rawArguments);
  } catch {
    return { ok: false, problem: `The arguments of ${definition.name} are not valid JSON; send one JSON object` };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { ok: false, problem: `The arguments of ${definition.name} must be one JSON object` };
  }
  // Some models send null for every optional argument they leave out.
  const isGiven = (item: unknown): boolean => item !== null || definition.keepsNulls === true;
  const given = Object.fromEntries(Object.entries(value).filter(([, item]) => isGiven(item)));
  const result = v.safeParse(definition.input, given);
  if (result.success) return { ok: true, input: result.output };
  const problems = result.issues
    .slice(0, argumentProblemsMax)
    .map((issue) => `${v.getDotPath(issue) ?? 'arguments'}: ${issue.message}`);
  return { ok: false, problem: `Wrong arguments for ${definition.name}: ${problems.join('; ')}` };
}
