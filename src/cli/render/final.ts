// Prints only the end of an execution: the answer as text, or one JSON or YAML object.
import type { Output } from '../output.ts';
import type { Outcome, Renderer } from './renderer.ts';
import { endText } from './summary.ts';

export type ResultFormat = 'text' | 'json' | 'yaml';

export function createFinalRenderer(output: Output, format: ResultFormat): Renderer {
  return {
    event: () => Promise.resolve(),
    pause: () => Promise.resolve(),
    notice: (message) => output.note(output.stderr.foreign(message)),
    finish: async (outcome) => {
      if (format === 'json') return await output.printJson(resultObject(outcome));
      if (format === 'yaml') {
        const { stringify } = await import('yaml');
        return await output.stdout.write(output.stdout.foreign(stringify(resultObject(outcome))));
      }
      if (outcome.response !== '') await output.print(output.stdout.foreign(outcome.response));
      await output.note(endText(outcome, output.stderr));
    },
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
  };
}
