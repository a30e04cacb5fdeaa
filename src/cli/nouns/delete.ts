// `kubiya <noun> delete`: finds the thing, asks, deletes.
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { defineCommand, type Command } from '../command.ts';
import { mayDo } from '../confirm.ts';
import { connect } from '../connect.ts';
import { jsonFlag } from '../flags.ts';
import { lookUp, type Named } from '../lookup.ts';

export interface Deletion {
  /** What the thing is called on the command line: `agent`. */
  readonly noun: string;
  readonly list: (client: ControlPlaneClient) => Promise<readonly Named[]>;
  readonly remove: (client: ControlPlaneClient, id: string) => Promise<void>;
  readonly details?: string;
}

export function deleteCommand({ noun, list, remove, details }: Deletion): Command {
  return defineCommand({
    meta: { description: `delete ${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}` },
    scope: 'api',
    ...(details === undefined ? {} : { details }),
    examples: [
      [`kubiya ${noun} delete old-one`, 'asks first'],
      [`kubiya ${noun} delete old-one --yes`, 'for scripts'],
    ],
    args: {
      thing: { type: 'positional', description: `id or name of the ${noun}` },
      yes: { type: 'switch', alias: 'y', description: 'do not ask' },
      json: jsonFlag,
    },
    run: async ({ args, output, loadConfig }) => {
      const client = await connect(await loadConfig());
      const { id, name } = lookUp(noun, args.thing, await list(client));
      const question = `Delete the ${noun} ${output.stderr.foreign(name)}?`;
      if (!(await mayDo(output, { doing: `deleting the ${noun} ${name}`, question, isYes: args.yes })))
        return await output.note('nothing was done');
      await remove(client, id);
      if (args.json) return await output.printJson({ deleted: true, id, name });
      await output.note(`the ${noun} ${output.stderr.foreign(name)} was deleted`);
    },
  });
}
