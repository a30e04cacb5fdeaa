// Asks a person which model to use when none is configured; without a terminal the error stands.
import type { Config } from '../../config/config.ts';
import { KubiyaError } from '../../errors.ts';
import { asked } from '../asked.ts';
import type { Output } from '../output.ts';
import { interrupted } from './follow.ts';

const offlineModel = 'kubiya/offline';

/** The configuration with the chosen model, or the error again where nobody can be asked. */
export async function chooseModel(
  error: unknown,
  config: Config,
  { output, signal }: { readonly output: Output; readonly signal: AbortSignal },
): Promise<Config> {
  const isMissing = error instanceof KubiyaError && error.code === 'no_provider';
  if (!isMissing || !output.isInteractive || config.isNonInteractive) throw error;
  const { select, text } = await import('@clack/prompts');
  const choosing = select({
    output: output.questions,
    signal,
    message: 'No model provider is configured. Which model should the agent use?',
    options: [
      {
        value: offlineModel,
        label: offlineModel,
        hint: 'no language model: runs the commands in backticks of the prompt',
      },
      { value: 'named', label: 'another one', hint: 'its id, for example ollama/llama3' },
    ],
  });
  const choice = await asked(choosing, signal);
  if (choice === undefined) throw interrupted();
  if (choice === offlineModel) return { ...config, model: offlineModel };
  const naming = text({
    output: output.questions,
    signal,
    message: 'Id of the model',
    validate: (value) => ((value ?? '').trim() === '' ? 'an id, such as ollama/llama3' : undefined),
  });
  const model = await asked(naming, signal);
  if (model === undefined) throw interrupted();
  return { ...config, model: model.trim() };
}
