// `kubiya server status`.
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'show whether the embedded control plane runs, and what it holds' },
  scope: 'home',
  details: 'Exit code 0 when it runs and answers, else 1.',
  examples: [
    ['kubiya server status', 'where it is, since when, its workers, executions and databases'],
    ['kubiya server status --json', 'for programs'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const config = await loadConfig();
    const { serverStatus } = await import('../../../processes/server.ts');
    const status = await serverStatus(config);
    if (status !== undefined) return await printThing(output, { state: 'running', ...status }, args.json);
    await (args.json ? output.printJson({ state: 'stopped' }) : output.note('no server is running'));
    return 1;
  },
});
