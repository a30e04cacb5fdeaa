// `kubiya config get-contexts`.
import { contextFileOf } from '../../../config/context-file.ts';
import { expiryMsOf } from '../../../lib/json-web-token.ts';
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list the contexts of the context file' },
  scope: 'contexts',
  examples: [
    ['kubiya config get-contexts', 'as a table; the star is the context in use'],
    ["kubiya config get-contexts --json | jq -r '.[].name'", 'only their names'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const config = await loadConfig();
    const file = await contextFileOf(config.paths.contextFile);
    const used = config.context ?? file.current?.value;
    const rows = file.contexts.map(({ name, url, organization, user, token }) => ({
      name,
      is_current: name === used,
      api_url: url?.value ?? null,
      organization: organization ?? null,
      user: user ?? null,
      token: token === undefined ? 'none' : isOver(token.value) ? 'expired' : 'set',
    }));
    await printList(
      output,
      rows,
      [
        { title: ' ', value: (row) => (row.is_current ? '*' : ' ') },
        { title: 'NAME', value: (row) => row.name },
        { title: 'ORGANIZATION', value: (row) => row.organization },
        { title: 'USER', value: (row) => row.user },
        { title: 'TOKEN', value: (row) => row.token },
        { title: 'API URL', value: (row) => row.api_url },
      ],
      args.json,
    );
  },
});

function isOver(token: string): boolean {
  return (expiryMsOf(token) ?? Infinity) <= Date.now();
}
