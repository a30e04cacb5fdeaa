// `kubiya version`.
import { version } from '../../version.ts';
import { defineCommand } from '../command.ts';
import { jsonFlag } from '../flags.ts';

export default defineCommand({
  meta: { description: 'show the version' },
  examples: [
    ['kubiya version', 'the version'],
    ['kubiya version --json', 'with the platform and the runtime'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output }) => {
    if (!args.json) return await output.print(`kubiya ${version}`);
    const runtime =
      process.versions['bun'] === undefined ? `node ${process.versions.node}` : `bun ${process.versions['bun']}`;
    await output.printJson({ version, platform: process.platform, arch: process.arch, runtime });
  },
});
