// `kubiya server start`: the embedded control plane, in the foreground or in the background.
import { defineCommand } from '../../command.ts';
import { processIo } from '../../process-io.ts';

export default defineCommand({
  meta: { description: 'start the embedded control plane and its Temporal server' },
  scope: 'server',
  details: 'Clients on this machine find it and its token by themselves. Its data is in ~/.kubiya/local.',
  examples: [
    ['kubiya server start -d', 'in the background; returns when it is ready'],
    ['kubiya server start --port 9000 --data-dir ./kubiya-data', 'in the foreground, with its data here'],
    [
      'KUBIYA_SERVER_TOKEN_FILE=token kubiya server start --host 0.0.0.0 --advertise build-host',
      'for other machines and containers',
    ],
    [
      'kubiya server start --temporal-address temporal:7233 --temporal-namespace agents',
      'on an existing Temporal cluster',
    ],
  ],
  args: { detach: { type: 'switch', alias: 'd', description: 'run in the background and return when it is ready' } },
  run: async ({ args, output, loadConfig, commandLine }) => {
    const config = await loadConfig();
    const server = await import('../../../processes/server.ts');
    if (!args.detach) return await server.runServerProcess(config, processIo(output));
    const started = await server.startServerInBackground(
      config,
      commandLine.filter((word) => word !== '-d' && word !== '--detach'),
    );
    await output.print(started.url);
    await output.note(`the server runs in the background (pid ${started.record.pid}); \`kubiya server stop\` stops it`);
  },
});
