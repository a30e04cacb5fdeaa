// The model `kubiya/offline`: runs the commands that the prompt names in backticks through the real tools, without a network.
import {
  noUsage,
  type ModelClient,
  type ModelDelta,
  type ModelMessage,
  type ModelRequest,
  type ModelResult,
} from '../protocol/model.ts';

export const offlineModelId = 'kubiya/offline';
const shellToolName = 'run_shell_command';

/** One turn a command: more of them than an agent has turns by default are a mistake in the prompt. */
const commandsMax = 100;
/** Of each command's output; a screenful or two, so that a report of 100 commands stays far below a transcript's budget. */
const outputCharsMax = 3_000;

type ToolMessage = Extract<ModelMessage, { role: 'tool' }>;

/** Deterministic given the transcript; its final answer carries `verdict`, which decides how the execution ends. */
export function createOfflineModel(): ModelClient {
  return {
    async complete(request, onDelta, signal) {
      if (signal.aborted)
        return { ok: false, failure: { kind: 'cancelled', message: `The call of ${offlineModelId} was cancelled` } };
      return { ok: true, result: nextResult(request, onDelta) };
    },
  };
}

function nextResult(request: ModelRequest, onDelta: (delta: ModelDelta) => void): ModelResult {
  const lastUser = request.messages.findLastIndex((message) => message.role === 'user');
  const commands = commandsIn(request.messages[lastUser]?.content ?? '');
  const results = request.messages
    .slice(lastUser + 1)
    .filter((message): message is ToolMessage => message.role === 'tool');
  const refusal = reasonToRefuse(request, commands);
  if (refusal !== undefined) return answer([refusal], 'failed', onDelta);

  const hasFailed = results.at(-1)?.isError ?? false;
  const next = commands[results.length];
  if (hasFailed || next === undefined)
    return answer(report(commands, results), hasFailed ? 'failed' : 'succeeded', onDelta);
  // The position in the transcript makes the id unique in it, and the same each time this turn is computed.
  const call = {
    id: `offline_${request.messages.length}`,
    name: shellToolName,
    arguments: JSON.stringify({ command: next }),
  };
  return result('', { toolCalls: [call], finishReason: 'tool_calls' });
}

function reasonToRefuse(request: ModelRequest, commands: readonly string[]): string | undefined {
  const about = `${offlineModelId} is not a language model: it runs the commands that a prompt names in backticks, in order.`;
  if (commands.length === 0) {
    return `${about} This prompt names none. Write for example: run \`uname -a\` and then \`ls\`. For anything else name a language model with --model.`;
  }
  if (commands.length > commandsMax)
    return `${about} This prompt names ${commands.length}; the limit is ${commandsMax}.`;
  if (!request.tools.some((tool) => tool.name === shellToolName)) {
    return `${about} This agent has no tool ${shellToolName}: give it a skill of type shell.`;
  }
  return undefined;
}

/**
 * The commands of a text in their order: what stands in single or (for commands that contain backticks) double backticks on
 * one line, and every line of a fenced block but empty ones and comments. The word after the opening fence is its language.
 */
export function commandsIn(text: string): string[] {
  const commands: string[] = [];
  let fence: string | undefined;
  for (const line of text.split(/\r\n|\n|\r/)) {
    const mark = /^ {0,3}(`{3,})([^`]*)$/.exec(line);
    const ticks = mark?.[1];
    if (fence === undefined) {
      if (ticks === undefined) commands.push(...inlineCommands(line));
      else fence = ticks;
    } else if (ticks !== undefined && ticks.length >= fence.length && mark?.[2]?.trim() === '') {
      fence = undefined;
    } else {
      const command = line.trim();
      if (command !== '' && !command.startsWith('#')) commands.push(command);
    }
  }
  return commands;
}

/** A run of backticks is closed by the next run of the same length, as in Markdown; longer runs than two hold no command. */
function inlineCommands(line: string): string[] {
  const runs = [...line.matchAll(/`+/g)];
  const commands: string[] = [];
  // Lengths that do not occur any more; without this a line of backticks would take quadratic time.
  const unclosed = new Set<number>();
  for (let at = 0; at < runs.length; at += 1) {
    const open = runs[at];
    if (open === undefined || unclosed.has(open[0].length)) continue;
    const length = open[0].length;
    const close = runs.findIndex((run, index) => index > at && run[0].length === length);
    if (close === -1) {
      unclosed.add(length);
      continue;
    }
    const command = line.slice(open.index + length, runs[close]?.index).trim();
    if (length <= 2 && command !== '') commands.push(command);
    at = close;
  }
  return commands;
}

/** The report in pieces, one a command: what ran, how it went, what it printed, and what was left out. */
function report(commands: readonly string[], results: readonly ToolMessage[]): string[] {
  const failed = results.findIndex((message) => message.isError);
  const word = commands.length === 1 ? 'command' : 'commands';
  const head =
    failed === -1
      ? `Ran ${commands.length} ${word}; all succeeded.`
      : `Ran ${results.length} of ${commands.length} ${word}; number ${failed + 1} failed.`;
  const sections = results.map((message, index) => {
    const output = message.content.replace(/\s+$/, '');
    return `\n\n$ ${commands[index] ?? ''}\n[${message.isError ? 'failed' : 'ok'}]${output === '' ? '' : `\n${shorten(output)}`}`;
  });
  const skipped = commands.slice(results.length).map((command) => `\n\n$ ${command}\n[not run]`);
  return [head, ...sections, ...skipped];
}

/** Keeps the beginning and the end, never half of a character. */
function shorten(text: string): string {
  if (text.length <= outputCharsMax) return text;
  const half = outputCharsMax / 2;
  const head = text.slice(0, half).replace(/[\uD800-\uDBFF]$/, '');
  const tail = text.slice(-half).replace(/^[\uDC00-\uDFFF]/, '');
  return `${head}\n… ${text.length - head.length - tail.length} characters left out …\n${tail}`;
}

function answer(
  pieces: readonly string[],
  verdict: 'succeeded' | 'failed',
  onDelta: (delta: ModelDelta) => void,
): ModelResult {
  for (const text of pieces) onDelta({ type: 'text', text });
  return { ...result(pieces.join(''), { toolCalls: [], finishReason: 'stop' }), verdict };
}

function result(
  content: string,
  rest: Pick<ModelResult, 'finishReason'> & Pick<ModelResult['message'], 'toolCalls'>,
): ModelResult {
  return {
    message: { role: 'assistant', content, toolCalls: rest.toolCalls },
    finishReason: rest.finishReason,
    usage: noUsage,
    model: offlineModelId,
    costUsd: 0,
    durationMs: 0,
  };
}
