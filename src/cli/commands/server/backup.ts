// `kubiya server backup`.
import { resolve } from 'node:path';
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'write the data of the embedded control plane into one archive' },
  scope: 'data',
  details:
    'Works while the server runs and while it is stopped. The archive holds both databases and the keys, so keep it as ' +
    'safe as they are. What tools have written into workspaces is not in it.',
  examples: [
    ['kubiya server backup backup.tar', 'into this file, which must not exist'],
    ['kubiya server backup /var/backups', 'into this directory, with the time in the name'],
  ],
  args: { target: { type: 'positional', description: 'file or directory to write to' }, json: jsonFlag },
  run: async ({ args, output, loadConfig, cwd }) => {
    const config = await loadConfig();
    const { backUpServer } = await import('../../../processes/server-backup.ts');
    const backup = await backUpServer(config, resolve(cwd, args.target));
    if (args.json) return await output.printJson(backup);
    await output.print(backup.file);
    await output.note(`${backup.bytes} bytes, verified; the server was ${backup.server}`);
  },
});
