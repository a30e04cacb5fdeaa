// `kubiya worker clean`.
import {
  type Cleanable,
  type CleanablePart,
  findCleanable,
  refuseRunning,
  removeCleanable,
} from '../../../supervisor/clean.ts';
import { selectWorkerPlace } from '../../../supervisor/select.ts';
import { defineCommand } from '../../command.ts';
import { mayDo } from '../../confirm.ts';
import { jsonFlag } from '../../flags.ts';
import type { Output } from '../../output.ts';
import { bytesText } from '../../render/worker-status.ts';
import { printList } from '../../table.ts';

const dayMs = 86_400_000;

export default defineCommand({
  meta: { description: 'remove files of a stopped worker' },
  scope: 'here',
  details:
    'Without --venv, --logs, --all or --older-than it only says what could be removed.\n' +
    'With --all the journal goes too: a call that an open execution has begun here can then not be told from one that has not.',
  examples: [
    ['kubiya worker clean --queue-id my-queue', 'what there is, and how much'],
    ['kubiya worker clean --queue-id my-queue --venv', 'the Python environment; the next start makes a new one'],
    ['kubiya worker clean --queue-id my-queue --older-than 7d --yes', 'logs and workspaces of the weeks before'],
    ['kubiya worker clean --queue-id my-queue --all --yes', 'everything of it'],
  ],
  args: {
    venv: { type: 'switch', description: 'the Python environment' },
    logs: { type: 'switch', description: 'the log and its rotated files' },
    all: { type: 'switch', description: 'the whole directory, with requirements.txt, workspaces and journal' },
    'older-than': {
      type: 'duration',
      minMs: 0,
      maxMs: 3_650 * dayMs,
      valueName: 'duration',
      description: 'only what has not changed for so long; alone: logs and workspaces',
    },
    yes: { type: 'switch', alias: 'y', description: 'do not ask' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const { paths, worker, isNonInteractive } = await loadConfig();
    const place = selectWorkerPlace(paths.workersDirectory, worker.queue);
    const parts = wantedParts(args);
    const age = { olderThanMs: args['older-than'] ?? 0, nowMs: Date.now() };
    if (parts.length === 0) {
      const all = findCleanable(place, ['venv', 'logs', 'workspaces', 'everything'], age);
      return await printCleanable(output, all, args.json);
    }
    refuseRunning(place);
    const found = findCleanable(place, parts, age);
    const question = `Remove ${summaryOf(found)} of the worker ${place.queue}?`;
    const confirmation = { doing: 'removing files', question, isYes: args.yes, mayAsk: !isNonInteractive };
    if (found.length > 0 && !(await mayDo(output, confirmation))) return await output.note('nothing was removed');
    if (found.length > 0) removeCleanable(place, found);
    const removed = { directory: place.directory, freed_bytes: bytesOf(found), removed: found };
    if (args.json) return await output.printJson(removed);
    await output.note(found.length === 0 ? 'there is nothing to remove' : `freed ${summaryOf(found)}`);
  },
});

interface Wanted {
  readonly venv: boolean;
  readonly logs: boolean;
  readonly all: boolean;
  readonly 'older-than': number | undefined;
}

function wantedParts({ venv, logs, all, 'older-than': age }: Wanted): readonly CleanablePart[] {
  if (all) return ['everything'];
  if (venv || logs) return [...(venv ? (['venv'] as const) : []), ...(logs ? (['logs'] as const) : [])];
  return age === undefined ? [] : ['logs', 'workspaces'];
}

const flagOf: Readonly<Record<CleanablePart, string>> = {
  venv: '--venv',
  logs: '--logs',
  workspaces: '--older-than',
  everything: '--all',
};

async function printCleanable(output: Output, all: readonly Cleanable[], isJson: boolean): Promise<void> {
  const columns = [
    { title: 'WHAT', value: ({ part }: Cleanable) => part },
    { title: 'SIZE', value: ({ bytes }: Cleanable) => bytesText(bytes) },
    { title: 'REMOVED BY', value: ({ part }: Cleanable) => flagOf[part] },
  ];
  await printList(output, all, columns, isJson);
}

function summaryOf(found: readonly Cleanable[]): string {
  return `${bytesText(bytesOf(found))} (${found.map(({ part }) => part).join(', ')})`;
}

function bytesOf(found: readonly Cleanable[]): number {
  return found.reduce((sum, { bytes }) => sum + bytes, 0);
}
