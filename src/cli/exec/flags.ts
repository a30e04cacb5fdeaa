// The flags of exec: those that start an execution and those that say how it is shown.
import { type ArgDeclarations, usage, type ValuesOf } from '../flags.ts';
import type { Output } from '../output.ts';
import { createFinalRenderer } from '../render/final.ts';
import { createJsonRenderer } from '../render/json.ts';
import type { Renderer } from '../render/renderer.ts';
import { createTextRenderer } from '../render/text.ts';

/** Enough to recognise what a command did, few enough to see several calls at once; --verbose shows more. */
const outputLinesDefault = 10;
const verboseOutputLinesDefault = 50;
const weekMs = 7 * 86_400_000;

export const displayFlags = {
  output: {
    type: 'choice',
    choices: ['text', 'json', 'yaml'],
    alias: 'o',
    defaultText: 'text',
    description: 'json and yaml print one object at the end',
  },
  'stream-format': {
    type: 'choice',
    choices: ['auto', 'text', 'json'],
    defaultText: 'auto, which is text',
    description: 'json prints one object per event and line on stdout',
  },
  stream: { type: 'switch', isOn: true, description: 'print only the final answer, when it is there' },
  verbose: { type: 'switch', alias: 'v', description: 'show whole inputs, status changes and more output' },
  compact: { type: 'switch', description: 'show one line per tool call, without its output' },
  'full-output': { type: 'switch', description: 'show all output of tool calls' },
  'output-lines': {
    type: 'integer',
    min: 0,
    max: 100_000,
    valueName: 'count',
    defaultText: String(outputLinesDefault),
    description: 'lines of output shown of a tool call',
  },
} as const satisfies ArgDeclarations;

export const startFlags = {
  local: { type: 'switch', description: 'use a private worker of this command, which leaves nothing behind' },
  yes: { type: 'switch', alias: 'y', description: 'start without asking' },
  'prompt-file': { type: 'path', valueName: 'file', description: 'read the prompt from a file' },
  detach: { type: 'switch', description: 'start it, print its id and leave' },
  'idempotency-key': {
    type: 'text',
    valueName: 'key',
    description: 'a second start with the same key follows the first execution',
  },
  queue: { type: 'text', alias: 'queue-name', valueName: 'id|name', description: 'queue to run on' },
  cwd: { type: 'path', valueName: 'directory', description: 'working directory of the tools' },
  timeout: {
    type: 'duration',
    minMs: 1_000,
    maxMs: weekMs,
    valueName: 'duration',
    description: 'cancel the execution after so long and exit with 9',
  },
  'system-prompt': { type: 'text', valueName: 'text', description: 'system prompt for this execution' },
} as const satisfies ArgDeclarations;

export type DisplayFlags = ValuesOf<typeof displayFlags>;
export type StartFlags = ValuesOf<typeof startFlags>;

/** The renderer that the flags ask for; checks the combinations first, so that nothing starts on a wrong command line. */
export function chooseRenderer(
  flags: DisplayFlags,
  output: Output,
  showsPrompt: boolean,
): (executionId: string) => Renderer {
  const format = flags.output ?? 'text';
  const isJsonStream = flags['stream-format'] === 'json';
  if (isJsonStream && (format !== 'text' || !flags.stream)) {
    throw usage(
      '--stream-format json prints every event, so it cannot be combined with --output or --no-stream',
      'flags_conflict',
      'choose one of them',
    );
  }
  if (flags.compact && flags['full-output'])
    throw usage('--compact and --full-output contradict each other', 'flags_conflict', 'choose one of them');
  if (isJsonStream) return (executionId) => createJsonRenderer(output, executionId);
  if (format !== 'text' || !flags.stream) return () => createFinalRenderer(output, format);
  const linesDefault = flags.verbose ? verboseOutputLinesDefault : outputLinesDefault;
  const shown = flags.compact ? 0 : (flags['output-lines'] ?? linesDefault);
  const outputLinesMax = flags['full-output'] ? Infinity : shown;
  return () => createTextRenderer(output, { outputLinesMax, isVerbose: flags.verbose, showsPrompt });
}
