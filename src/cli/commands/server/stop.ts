// `kubiya server stop`.
import { defineCommand } from '../../command.ts';

export default defineCommand({
  meta: { description: 'stop the embedded control plane of this user' },
  scope: 'home',
  examples: [['kubiya server stop', 'stop it and wait until it is gone']],
  args: {},
  run: async ({ output, loadConfig }) => {
    const config = await loadConfig();
    const { stopServer } = await import('../../../processes/server.ts');
    await output.note((await stopServer(config)) ? 'the server has stopped' : 'no server is running');
  },
});
