// Models of the control plane by their id, and the fields of one as flags.
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { usage, type ValuesOf } from '../flags.ts';
import type { Named } from '../lookup.ts';

const price = { type: 'usd', min: 0, max: 1_000_000, valueName: 'usd' } as const;

export const modelFlags = {
  label: { type: 'text', valueName: 'text', description: 'name for people' },
  provider: {
    type: 'text',
    valueName: 'name',
    defaultText: 'the part of the id before the slash',
    description: 'who serves it',
  },
  'input-price': { ...price, description: 'US dollars for a million tokens that it reads' },
  'output-price': { ...price, description: 'US dollars for a million tokens that it writes' },
  enable: { type: 'switch', description: 'agents may name it' },
  disable: { type: 'switch', description: 'agents may not name it' },
  description: { type: 'text', valueName: 'text', description: 'what the model is good for' },
} as const;

export function modelFields(args: ValuesOf<typeof modelFlags>) {
  const pricing = { input: args['input-price'], output: args['output-price'] };
  if (args.enable && args.disable)
    throw usage('--enable and --disable contradict each other', 'flags_contradict', 'leave out one');
  return {
    label: args.label,
    provider: args.provider,
    description: args.description,
    enabled: args.enable ? true : args.disable ? false : undefined,
    pricing: pricing.input === undefined && pricing.output === undefined ? undefined : pricing,
  };
}

/** A model's name is the id that agents give. */
export async function namedModels(client: ControlPlaneClient): Promise<readonly Named[]> {
  return (await client.listModels()).map(({ id, value }) => ({ id, name: value }));
}
