// `kubiya model test`.
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'make one tiny call to a model' },
  scope: 'here',
  details:
    'Asks the model as a worker on this machine would, with the keys of this environment, and shows how long it took. Exit code: 0 ' +
    'it answered, 1 it did not, 3 the key was refused, 6 there is no provider for it.',
  examples: [
    ['kubiya model test', 'the model that a worker here would choose'],
    ['kubiya model test anthropic/claude-sonnet-4-5 --json', 'another one, for programs'],
    ['kubiya model test kubiya/offline', 'works without any key'],
  ],
  args: {
    id: { type: 'positional', required: false, description: 'id of the model' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const { testModel, testFailure } = await import('../../../processes/model-test.ts');
    const { model, outcome, durationMs } = await testModel(await loadConfig(), args.id, new AbortController().signal);
    if (!outcome.ok) throw testFailure(model, outcome);
    const { result } = outcome;
    const { inputTokens, outputTokens } = result.usage;
    const firstMs = result.firstDeltaMs ?? null;
    if (args.json) {
      return await output.printJson({
        model,
        answered_by: result.model,
        answer: result.message.content,
        duration_ms: durationMs,
        first_token_ms: firstMs,
        usage: { input_tokens: inputTokens, output_tokens: outputTokens },
        cost_usd: result.costUsd ?? null,
      });
    }
    const first = firstMs === null ? '' : `, the first word after ${firstMs} ms`;
    await output.print(`${model} answered in ${durationMs} ms${first} (${inputTokens} tokens in, ${outputTokens} out)`);
  },
});
