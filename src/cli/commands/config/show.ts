// `kubiya config show`: every effective value with its origin.
import { describeOrigin } from '../../../config/problems.ts';
import type { EffectiveSetting } from '../../../config/config.ts';
import { formatDuration } from '../../../lib/duration.ts';
import { formatBytes } from '../../../lib/size.ts';
import { type Cell, printList } from '../../table.ts';
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'show every effective setting and where it comes from' },
  scope: 'show',
  details: 'Secrets are redacted. A setting that is wrong is an error here as it is everywhere else.',
  examples: [
    ['kubiya config show', 'as a table'],
    ['kubiya config show --json | jq \'.settings[] | select(.origin.kind != "default")\'', 'only what was set'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const config = await loadConfig();
    if (args.json) {
      return await output.printJson({
        profile: config.profile,
        home: config.paths.home,
        context_file: config.paths.contextFile,
        settings: config.settings.map(({ defaultText, ...setting }) => ({ ...setting, default_text: defaultText })),
        providers: Object.keys(config.providers.reveal()),
      });
    }
    await output.note(`profile ${config.profile.kind}: ${config.profile.reason}`);
    await output.note(`files   ${config.paths.home}`);
    await printList(
      output,
      config.settings,
      [
        { title: 'SETTING', value: (row) => row.name },
        { title: 'ORIGIN', value: (row) => describeOrigin(row.origin) },
        { title: 'VALUE', value: shownValue },
        { title: 'MEANING', value: (row) => row.description },
      ],
      false,
    );
    const providers = Object.keys(config.providers.reveal());
    await output.note(
      providers.length === 0 ? 'no model provider is configured' : `model providers: ${providers.join(', ')}`,
    );
  },
});

function shownValue({ value, unit, defaultText }: EffectiveSetting): Cell {
  if (value === null) return defaultText === undefined ? null : `(${defaultText})`;
  if (unit === undefined) return value;
  return unit === 'ms' ? formatDuration(Number(value)) : formatBytes(Number(value));
}
