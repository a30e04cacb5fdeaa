// The flags of exec: those that start an execution and those that say how it is shown.
import { priorities } from '../../protocol/control-plane.ts';
import { type ArgDeclarations, usage, type ValuesOf } from '../flags.ts';
import type { Output } from '../output.ts';
import { createFinalRenderer, createResultRenderings } from '../render/final.ts';
import { createJsonRenderer } from '../render/json.ts';
import { type PrefixedOutput, prefixedOutput } from '../render/prefixed.ts';
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
  queue: {
    type: 'text',
    alias: 'queue-name',
    valueName: 'id|name,…',
    description: 'queue to run on; with several, an execution on each at the same time',
  },
  cwd: { type: 'path', valueName: 'directory', description: 'working directory of the tools' },
  timeout: {
    type: 'duration',
    minMs: 1_000,
    maxMs: weekMs,
    valueName: 'duration',
    description: 'cancel the execution after so long and exit with 9',
  },
  'max-cost': {
    type: 'usd',
    min: 0.0001,
    max: 100_000,
    valueName: 'usd',
    description: 'end the execution with exit code 7 when its model calls have cost so much',
  },
  'system-prompt': { type: 'text', valueName: 'text', description: 'system prompt for this execution' },
  env: { type: 'text', valueName: 'name=value', isRepeatable: true, description: 'variable for the tools' },
  'env-file': { type: 'path', valueName: 'file', description: 'variables for the tools, a NAME=value a line' },
  secret: {
    type: 'text',
    valueName: 'name',
    isRepeatable: true,
    description: 'secret of the control plane that the tools get as a variable',
  },
  'skill-dir': {
    type: 'path',
    valueName: 'directory',
    isRepeatable: true,
    description: 'folder with skills for this execution',
  },
  'output-schema': {
    type: 'path',
    valueName: 'file',
    description: 'JSON Schema of the answer, which is printed alone on stdout',
  },
  conversation: {
    type: 'switch',
    description:
      'go on after the answer: with the next message, asked for here or sent with `kubiya execution message`',
  },
  'parent-execution': { type: 'text', valueName: 'id', description: 'execution whose conversation is continued' },
  priority: { type: 'choice', choices: priorities, description: 'how much it matters, for the planner and for people' },
} as const satisfies ArgDeclarations;

/** Of a prompt without a name of who is to do it. */
export const planFlags = {
  'plan-file': {
    type: 'text',
    valueName: 'file|url',
    description: 'run a saved plan: a file, a URL, or user/repo//path on GitHub',
  },
  'save-plan': { type: 'path', valueName: 'file', description: 'write a copy of the plan to a file' },
  'plan-only': { type: 'switch', description: 'make, print and save the plan, and start nothing' },
  'plan-mode': {
    type: 'choice',
    choices: ['quick', 'full'],
    defaultText: 'quick with --yes, else full',
    description: 'quick only chooses who does it; full breaks the task down as well',
  },
} as const satisfies ArgDeclarations;

export type PlanFlags = ValuesOf<typeof planFlags>;
export type DisplayFlags = ValuesOf<typeof displayFlags>;
export type StartFlags = ValuesOf<typeof startFlags>;

/** Makes the renderer of each execution. */
export interface Renderings {
  /** `queue` is set where others run beside it. */
  create(executionId: string, queue: string | undefined): Renderer;
  /** Prints what is printed once for several. */
  end(): Promise<void>;
}

/** What the flags ask for; checks the combinations first, so that nothing starts on a wrong command line. */
export function chooseRenderings(
  flags: DisplayFlags & Partial<Pick<StartFlags, 'output-schema'>>,
  output: Output,
  { showsPrompt }: { readonly showsPrompt: boolean },
): Renderings {
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
  const nothingMore = (): Promise<void> => Promise.resolve();
  if (isJsonStream)
    return { create: (executionId, queue) => createJsonRenderer(output, executionId, queue), end: nothingMore };
  if (format !== 'text') return createResultRenderings(output, format);
  const linesDefault = flags.verbose ? verboseOutputLinesDefault : outputLinesDefault;
  const shown = flags.compact ? 0 : (flags['output-lines'] ?? linesDefault);
  const options = {
    outputLinesMax: flags['full-output'] ? Infinity : shown,
    isVerbose: flags.verbose,
    showsPrompt,
    isAnswerJson: flags['output-schema'] !== undefined,
  };
  const createFor = (own: Output): Renderer =>
    flags.stream ? createTextRenderer(own, options) : createFinalRenderer(own, options);
  return {
    create: (_, queue) => {
      if (queue === undefined) return createFor(output);
      const own = prefixedOutput(output, queue, { isAside: false });
      return endingLines(createFor(own), own);
    },
    end: nothingMore,
  };
}

/** A renderer that leaves nothing on an unfinished line of its prefixed output. */
function endingLines(renderer: Renderer, own: PrefixedOutput): Renderer {
  return {
    ...renderer,
    pause: async () => {
      await renderer.pause();
      await own.end();
    },
    finish: async (outcome) => {
      await renderer.finish(outcome);
      await own.end();
    },
  };
}
