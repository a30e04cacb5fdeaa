// `kubiya worker logs`.
import { messageOf } from '../../../errors.ts';
import { parseDuration } from '../../../lib/duration.ts';
import { defineCommand } from '../../command.ts';
import { usage } from '../../flags.ts';
import { jsonText } from '../../output.ts';

/** As many as fill a screen and the one before. */
const linesDefault = 100;

export default defineCommand({
  meta: { description: 'print the log of a worker of this machine, across its rotated files' },
  scope: 'here',
  details:
    'Without --queue-id it is the only worker here; the worker need not run. Conditions are combined, and --lines counts the lines\n' +
    'that meet them.',
  examples: [
    ['kubiya worker logs -f', 'what happens now'],
    ['kubiya worker logs --queue-id prod-queue --level warn --since 2h', 'what went wrong in two hours'],
    ['kubiya worker logs --execution $ID -n all', 'everything about one execution'],
    [`kubiya worker logs --grep 'Task (completed|failed)' --json | jq .fields.duration_ms`, 'for programs'],
  ],
  args: {
    follow: { type: 'switch', alias: 'f', description: 'go on with what is written from now on' },
    lines: {
      type: 'text',
      alias: 'n',
      valueName: 'count|all',
      defaultText: `${linesDefault}, with --since all`,
      description: 'how many of the last lines',
    },
    level: {
      type: 'choice',
      choices: ['debug', 'info', 'warn', 'warning', 'error'],
      description: 'only lines of this level and above',
    },
    grep: { type: 'text', valueName: 'regex', description: 'only lines that match this regular expression' },
    since: {
      type: 'text',
      valueName: 'duration|time',
      description: 'only lines from then on: 10m, 2h, or a time such as 2026-11-24T10:00:00Z',
    },
    execution: { type: 'text', valueName: 'id', description: 'only lines that name this execution' },
    json: { type: 'switch', description: 'print one JSON object for each line' },
  },
  run: async ({ args, output, loadConfig }) => {
    const { level } = args;
    const options = {
      linesMax: linesMaxOf(args.lines, args.since),
      sinceMs: args.since === undefined ? undefined : timeOf(args.since),
      level: level === 'warning' ? 'warn' : level,
      pattern: args.grep === undefined ? undefined : patternOf(args.grep),
      execution: args.execution,
      isFollowing: args.follow,
      signal: output.closed,
    } as const;
    const { paths, worker } = await loadConfig();
    const { colouredLine, lineObject, readWorkerLog } = await import('../../../processes/worker-logs.ts');
    const show = (line: string): string => {
      if (args.json) return jsonText(lineObject(line));
      // Entries hold no control characters; what a crash left may.
      const text = output.stdout.foreign(line);
      return output.stdout.hasColour ? colouredLine(text) : text;
    };
    for await (const lines of readWorkerLog(paths, { ...options, queue: worker.queue })) {
      if (lines.length > 0) await output.stdout.write(`${lines.map(show).join('\n')}\n`);
    }
  },
});

function linesMaxOf(lines: string | undefined, since: string | undefined): number | undefined {
  if (lines === undefined) return since === undefined ? linesDefault : undefined;
  if (lines === 'all') return undefined;
  if (/^\d+$/.test(lines)) return Number(lines);
  throw usage(`--lines must be a number or all, not "${lines}"`, 'flag_invalid');
}

function timeOf(text: string): number {
  const duration = parseDuration(text);
  if (duration !== null) return Date.now() - duration;
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw usage(
    `--since must be a duration such as 10m or a time such as 2026-11-24T10:00:00Z, not "${text}"`,
    'flag_invalid',
  );
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw usage(`--grep is no regular expression: ${messageOf(error)}`, 'flag_invalid');
  }
}
