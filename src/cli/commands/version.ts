// `kubiya version`.
import { version } from '../../version.ts';
import { defineCommand, jsonFlag } from '../command.ts';

export default defineCommand({
  examples: [
    ['kubiya version', 'the version'],
    ['kubiya version --json', 'with the platform and the runtime'],
  ],
  flags: { json: jsonFlag },
  arguments: {},
  run: async ({ flags }, { output }) => {
    if (!flags.json) return await output.print(`kubiya ${version}`);
    const runtime =
      process.versions['bun'] === undefined ? `node ${process.versions.node}` : `bun ${process.versions['bun']}`;
    await output.printJson({ version, platform: process.platform, arch: process.arch, runtime });
  },
});
