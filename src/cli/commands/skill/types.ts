// `kubiya skill types`.
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list the kinds of skills, their variants and the keys of their configuration' },
  examples: [
    ['kubiya skill types', 'as a table'],
    [
      'kubiya skill types --json | jq \'.[] | select(.type=="shell").keys\'',
      'what the configuration of a shell may say',
    ],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output }) => {
    const { listSkillTypes } = await import('../../../processes/skill-types.ts');
    await printList(
      output,
      listSkillTypes(),
      [
        { title: 'TYPE', value: (row) => row.type },
        { title: 'VARIANTS', value: (row) => row.variants.map(({ name }) => name).join(', ') },
        { title: 'DESCRIPTION', value: (row) => row.description },
        { title: 'KEYS', value: (row) => row.keys.map(({ name }) => name).join(', ') },
      ],
      args.json,
    );
  },
});
