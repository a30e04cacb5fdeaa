// Prints only the end of an execution: the answer as text, or one JSON or YAML object.
import type { Output } from '../output.ts';
import type { Outcome, Renderer } from './renderer.ts';
import { endText } from './summary.ts';

/** The answer alone, when it is there. */
export function createFinalRenderer(output: Output, { isAnswerJson }: { readonly isAnswerJson: boolean }): Renderer {
  return {
    ...silentUntilTheEnd(output),
    finish: async (outcome) => {
      // Of an execution that has failed there is no JSON to read.
      const isAnswer = outcome.response !== '' && (!isAnswerJson || outcome.status === 'completed');
      if (isAnswer) await output.print(output.stdout.foreign(outcome.response));
      await output.note(endText(outcome, output.stderr));
    },
  };
}

/** One object of one execution; a list of several, in the order in which they ended. */
export function createResultRenderings(
  output: Output,
  format: 'json' | 'yaml',
): { create(executionId: string, queue: string | undefined): Renderer; end(): Promise<void> } {
  const several: unknown[] = [];
  const print = async (value: unknown): Promise<void> => {
    if (format === 'json') return await output.printJson(value);
    const { stringify } = await import('yaml');
    await output.stdout.write(output.stdout.foreign(stringify(value)));
  };
  return {
    create: (_, queue) => ({
      ...silentUntilTheEnd(output),
      finish: async (outcome) => {
        if (queue === undefined) await print(resultObject(outcome));
        else several.push({ queue, ...resultObject(outcome) });
      },
    }),
    end: async () => {
      if (several.length > 0) await print(several);
    },
  };
}

function silentUntilTheEnd(output: Output): Omit<Renderer, 'finish'> {
  return {
    event: async ({ type, data }) => {
      // Nobody would know what it waits for, and who approves it must have seen all of it.
      if (type !== 'approval_requested') return;
      const { title, message } = data;
      await output.note(output.stderr.foreign(`approval needed: ${String(title)}`));
      if (typeof message === 'string' && message !== '')
        await output.note(output.stderr.foreign(message.trimEnd().replace(/^/gm, '  | ')));
    },
    pause: () => Promise.resolve(),
    notice: (message) => output.note(output.stderr.foreign(message)),
  };
}

function resultObject(outcome: Outcome): Record<string, unknown> {
  return {
    execution_id: outcome.executionId,
    status: outcome.status,
    response: outcome.response,
    error: outcome.error ?? null,
    ...(outcome.hint === undefined ? {} : { hint: outcome.hint }),
    duration_ms: outcome.durationMs,
    usage: outcome.usage,
    ...(outcome.costUsd === undefined ? {} : { cost_usd: outcome.costUsd }),
    ...(outcome.isCostEstimated ? { is_cost_estimated: true } : {}),
  };
}
