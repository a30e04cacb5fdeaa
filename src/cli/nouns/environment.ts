// The fields of an environment as flags.
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { readVariables } from '../exec/env-file.ts';
import type { ValuesOf } from '../flags.ts';
import { skillIds } from './agent.ts';

export const environmentFlags = {
  name: { type: 'text', description: 'name of the environment' },
  variable: {
    type: 'text',
    isRepeatable: true,
    valueName: 'NAME=value',
    description: 'variable that the tools of its agents have',
  },
  skill: { type: 'text', isRepeatable: true, valueName: 'id|name', description: 'skill that all its agents have' },
  description: { type: 'text', valueName: 'text', description: 'what the environment is for' },
} as const;

export async function environmentFields(client: ControlPlaneClient, args: ValuesOf<typeof environmentFlags>) {
  const variables = readVariables({ pairs: args.variable, file: undefined, cwd: '' });
  return {
    name: args.name,
    description: args.description,
    skill_ids: await skillIds(client, args.skill),
    execution_environment: variables === undefined ? undefined : { env_vars: variables },
  };
}
