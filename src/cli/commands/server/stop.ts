// `kubiya server stop`.
import { defineCommand } from '../../command.ts';

export default defineCommand({
  scope: 'home',
  examples: [['kubiya server stop', 'stop it and wait until it is gone']],
  flags: {},
  arguments: {},
  run: async (_input, { output, loadConfig }) => {
    const config = await loadConfig();
    const { stopServer } = await import('../../../processes/server.ts');
    await output.note((await stopServer(config)) ? 'the server has stopped' : 'no server is running');
  },
});
