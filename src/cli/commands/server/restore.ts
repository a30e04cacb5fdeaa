// `kubiya server restore`.
import { resolve } from 'node:path';
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'put a backup in the place of the embedded control plane’s data' },
  scope: 'data',
  details:
    'The server must be stopped. What had been open goes on with the next worker, from where it was when the backup was made.',
  examples: [
    ['kubiya server restore backup.tar', 'where there is no data yet'],
    ['kubiya server restore backup.tar --force', 'in the place of the data, which is kept beside it'],
  ],
  args: {
    file: { type: 'positional', description: 'archive that `kubiya server backup` has written' },
    force: { type: 'switch', description: 'take the place of data that is there' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig, cwd }) => {
    const config = await loadConfig();
    const { restoreServer } = await import('../../../processes/server-restore.ts');
    const restored = restoreServer(config, resolve(cwd, args.file), { isForced: args.force });
    if (args.json) return await output.printJson(restored);
    await output.note(`restored the backup of ${restored.created_at} into ${restored.data_directory}`);
    if (restored.kept_in !== null) await output.note(`the data that was there is in ${restored.kept_in}`);
  },
});
