// The terms of an execution: its limits, the price of its model, and the schema of its answer.
import {
  contextTokensMaxOf,
  conversationWallTimeMsMax,
  defaultLimits,
  limitsFrom,
  taskCharactersMax,
} from '../../agent/limits.ts';
import type { AgentLimits, ModelPrice } from '../../agent/state.ts';
import { KubiyaError } from '../../errors.ts';
import { offlineModelId } from '../../gateway/offline.ts';
import type { AgentExecutionInput } from '../../protocol/workflow.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import { modelTerms } from './model-costs.ts';
import { schemaProblem } from './output-schema.ts';

export interface TermsQuestion {
  readonly input: Pick<AgentExecutionInput, 'limits' | 'is_conversation'>;
  readonly model: string;
  readonly configuration: Readonly<Record<string, unknown>> | null | undefined;
  readonly environment: { readonly timeout?: unknown };
}

/** Limits and price: the execution's own words before the agent's, and those before the defaults. */
export async function termsOf(
  { input, model, configuration, environment }: TermsQuestion,
  session: Pick<Session, 'activityTimeoutMs'>,
  deps: Pick<WorkerDeps, 'controlPlane' | 'log'>,
): Promise<{ readonly price: ModelPrice; readonly limits: AgentLimits }> {
  const { price, windowTokens } = await modelTerms(model, deps);
  const defaults = {
    ...defaultLimits,
    ...(input.is_conversation === true ? { wallTimeMsMax: conversationWallTimeMsMax } : {}),
    toolTimeMsMax: session.activityTimeoutMs,
  };
  const { timeout } = environment;
  const ofAgent = limitsFrom(recordOf(configuration?.['limits']), defaults);
  const ofExecution = limitsFrom(input.limits, {
    ...ofAgent,
    ...(typeof timeout === 'number' && timeout > 0 ? { wallTimeMsMax: timeout * 1000 } : {}),
  });
  return {
    price,
    limits: {
      ...ofExecution,
      isWallTimed: true,
      taskCharactersMax,
      // It answers with what its commands printed; summing up is for language models.
      ...(model === offlineModelId ? {} : { contextTokensMax: contextTokensMaxOf(windowTokens) }),
    },
  };
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}

export function checkedSchema(
  schema: Readonly<Record<string, unknown>> | null | undefined,
): Readonly<Record<string, unknown>> | undefined {
  if (schema === undefined || schema === null) return undefined;
  const problem = schemaProblem(schema);
  if (problem === undefined) return schema;
  throw new KubiyaError(`The output schema cannot be used: ${problem}`, {
    kind: 'configuration',
    code: 'output_schema_invalid',
    hint: 'give a JSON Schema (draft 2020-12) whose references are inside it',
  });
}
