// `kubiya server status`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'home',
  details: 'Exit code 0 when it runs and answers, else 1.',
  examples: [
    ['kubiya server status', 'where it is and since when'],
    ['kubiya server status --json', 'for programs'],
  ],
  flags: { json: jsonFlag },
  arguments: {},
  run: async ({ flags }, { output, loadConfig }) => {
    const config = await loadConfig();
    const { serverStatus } = await import('../../../processes/server.ts');
    const server = await serverStatus(config);
    if (server !== undefined) return await printThing(output, { state: 'running', ...server.record }, flags.json);
    await (flags.json ? output.printJson({ state: 'stopped' }) : output.note('no server is running'));
    return 1;
  },
});
