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
    const { profile, paths, context, settings } = config;
    const providers = Object.keys(config.providers.reveal());
    if (args.json) {
      return await output.printJson({
        profile,
        context: context ?? null,
        home: paths.home,
        context_file: paths.contextFile,
        settings: settings.map(({ defaultText, ...setting }) => ({ ...setting, default_text: defaultText })),
        providers,
      });
    }
    await output.note(`profile  ${profile.kind}: ${profile.reason}`);
    await output.note(`context  ${context ?? 'none'} (${paths.contextFile})`);
    await output.note(`files    ${paths.home}`);
    await output.note(`network  ${networkOf(settings)}`);
    await printList(
      output,
      settings,
      [
        { title: 'SETTING', value: (row) => row.name },
        { title: 'ORIGIN', value: (row) => describeOrigin(row.origin) },
        { title: 'VALUE', value: shownValue },
        { title: 'MEANING', value: (row) => row.description },
      ],
      false,
    );
    await output.note(
      providers.length === 0 ? 'no model provider is configured' : `model providers: ${providers.join(', ')}`,
    );
  },
});

/** The settings that every connection obeys, in one line; their rows say where each comes from. */
function networkOf(settings: readonly EffectiveSetting[]): string {
  const words: Readonly<Record<string, string>> = {
    httpProxy: 'http through',
    httpsProxy: 'https and Temporal through',
    noProxy: 'directly to',
    caFile: 'trusts also',
  };
  const parts = settings.flatMap(({ name, value }) => {
    const word = words[name];
    return word === undefined || value === null ? [] : [`${word} ${value}`];
  });
  return parts.length === 0 ? 'no proxy and no certificate authorities of your own' : parts.join('; ');
}

function shownValue({ value, unit, defaultText }: EffectiveSetting): Cell {
  if (value === null) return defaultText === undefined ? null : `(${defaultText})`;
  if (unit === undefined) return value;
  return unit === 'ms' ? formatDuration(Number(value)) : formatBytes(Number(value));
}
