// Prints an execution for people as it happens: the answer on stdout, thinking and tool calls on stderr.
import type { FollowedEvent } from '../../controlplane/followed-event.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { Output } from '../output.ts';
import { groupOf } from './ci.ts';
import { createMembers, type Members } from './members.ts';
import type { Outcome, Renderer } from './renderer.ts';
import { endText, failureText } from './summary.ts';

export interface TextOptions {
  /** Lines of output shown of one tool call; 0 shows none, Infinity all. */
  readonly outputLinesMax: number;
  readonly isVerbose: boolean;
  /** Also the messages of the user: a reader who did not type the prompt wants to see it. */
  readonly showsPrompt: boolean;
  /** The answer is JSON: it is printed when it is whole, and alone. */
  readonly isAnswerJson: boolean;
}

/** Fits most terminals with the name before it; the whole input is shown with --verbose. */
const inputCharactersMax = 160;
/** A shorter pause than a second is not noticed. */
const secondMs = 1_000;

interface RunningTool {
  readonly name: string;
  readonly input: string;
  /** Output lines that were printed while it ran. */
  shownLines: number;
  unfinishedLine: string;
}

export function createTextRenderer(output: Output, options: TextOptions): Renderer {
  const state = new TextState(output, options);
  return {
    event: (event) => state.event(event),
    notice: (message) => state.notice(message),
    pause: () => state.endLines(),
    finish: (outcome) => state.finish(outcome),
  };
}

/** Where the cursor is and what was shown of each message and call, for as long as one execution is printed. */
class TextState {
  readonly #output: Output;
  readonly #options: TextOptions;
  readonly #tools = new Map<string, RunningTool>();
  /** Text of each message that is already on the screen. */
  readonly #shown = new Map<string, string>();
  /** The message whose text stands on an unfinished line of stdout. */
  #openAnswer: string | undefined;
  #isThinkingOpen = false;
  #hasAnswer = false;
  #lastError: string | undefined;
  readonly #members: Members;
  #groups = 0;

  constructor(output: Output, options: TextOptions) {
    this.#output = output;
    this.#options = options;
    this.#members = createMembers(output, options, createTextRenderer);
  }

  async event({ type, data }: Pick<FollowedEvent, 'type' | 'data'>): Promise<void> {
    const text = (name: string): string => (typeof data[name] === 'string' ? data[name] : '');
    switch (type) {
      case 'message_chunk':
        return await this.#answer(text('message_id'), text('content'));
      case 'message':
        return await this.#message(text('role'), text('message_id'), text('content'));
      case 'thinking_delta':
        return await this.#thinking(text('thinking'));
      case 'thinking_complete':
        return await this.#endThinking();
      case 'tool_started':
        return await this.#toolStarted(
          text('tool_execution_id'),
          text('tool_name'),
          data['tool_arguments'] ?? data['tool_input'],
        );
      case 'tool_output':
        return await this.#toolOutput(text('tool_execution_id'), text('content'));
      case 'tool_completed':
        return await this.#toolCompleted(data);
      case 'retry':
        return await this.#retry(text('message_id'), text('reason'), data['delay_ms']);
      case 'notice':
        return await this.#note(text('message'), 'yellow');
      case 'error':
        return await this.#failure(text('error'), text('hint') || undefined);
      case 'approval_requested':
        return await this.#approvalRequested(text('title'), text('message'), text('expires_at'));
      case 'approval_resolved':
        return await this.#note(resolvedText(text('status'), text('resolved_by'), text('reason')), 'yellow');
      case 'status':
        return await this.#status(text('status').toLowerCase(), text('reason'));
      default:
        if (!type.startsWith('member_')) return undefined;
        await this.#prepareNote();
        return await this.#members.event({ type, data });
    }
  }

  async finish(outcome: Outcome): Promise<void> {
    // An execution whose events were lost, or that was followed too late, still has its answer.
    if (!this.#hasAnswer && outcome.response !== '') await this.#answer('', outcome.response);
    await this.endLines();
    if (this.#options.isAnswerJson && outcome.status === 'completed')
      await this.#output.print(this.#output.stdout.foreign(outcome.response));
    await this.#output.note(endText(outcome, this.#output.stderr, this.#lastError));
  }

  async #retry(messageId: string, reason: string, delayMs: unknown): Promise<void> {
    await this.#endAnswer();
    const when = typeof delayMs === 'number' && delayMs >= secondMs ? ` in ${formatDuration(delayMs)}` : '';
    const caveat = this.#shown.delete(messageId) ? '; its unfinished text above does not count' : '';
    await this.#note(`the model is asked again${when} (${reason})${caveat}`, 'yellow');
  }

  async #failure(error: string, hint: string | undefined): Promise<void> {
    await this.endLines();
    this.#lastError = error;
    await this.#output.note(failureText(error, hint, this.#output.stderr));
  }

  async notice(message: string): Promise<void> {
    await this.#prepareNote();
    await this.#output.note(this.#output.stderr.foreign(message));
  }

  async endLines(): Promise<void> {
    await this.#endAnswer();
    await this.#endThinking();
  }

  async #approvalRequested(title: string, message: string, expiresAt: string): Promise<void> {
    await this.#note(`approval needed: ${title}`, 'yellow');
    if (message !== '') await this.#outputLines(message.trimEnd().split('\n'));
    if (expiresAt !== '') await this.#note(`  expires at ${expiresAt}`, 'dim');
  }

  async #endAnswer(): Promise<void> {
    if (this.#openAnswer !== undefined) await this.#output.stdout.write('\n');
    this.#openAnswer = undefined;
  }

  async #endThinking(): Promise<void> {
    if (this.#isThinkingOpen) await this.#output.stderr.write('\n');
    this.#isThinkingOpen = false;
  }

  /** On a terminal a note needs a line of its own; an answer that goes elsewhere must not be broken by one. */
  async #prepareNote(): Promise<void> {
    await this.#endThinking();
    const { stdout, stderr } = this.#output;
    if (stdout.isTty || stdout === stderr) await this.#endAnswer();
  }

  async #answer(messageId: string, content: string): Promise<void> {
    if (content === '' || this.#options.isAnswerJson) return;
    await this.#endThinking();
    if (this.#openAnswer !== messageId) await this.#endAnswer();
    this.#hasAnswer = true;
    this.#shown.set(messageId, (this.#shown.get(messageId) ?? '') + content);
    this.#openAnswer = content.endsWith('\n') ? undefined : messageId;
    await this.#output.stdout.write(this.#output.stdout.foreign(content));
  }

  /** A whole message: only what its chunks have not shown, which is nothing when all of them came. */
  async #message(role: string, messageId: string, content: string): Promise<void> {
    if (role === 'user') {
      if (this.#options.showsPrompt) await this.#note(`prompt: ${content}`, 'bold');
      return;
    }
    if (role !== 'assistant') return;
    const shown = this.#shown.get(messageId) ?? '';
    if (content.startsWith(shown)) await this.#answer(messageId, content.slice(shown.length));
    await this.#endAnswer();
    this.#shown.delete(messageId);
  }

  async #thinking(content: string): Promise<void> {
    if (content === '') return;
    const prefix = this.#isThinkingOpen ? '' : 'thinking: ';
    if (!this.#isThinkingOpen) await this.#prepareNote();
    this.#isThinkingOpen = !content.endsWith('\n');
    const { stderr } = this.#output;
    await stderr.write(stderr.style('dim', prefix + stderr.foreign(content)));
  }

  async #toolStarted(id: string, name: string, input: unknown): Promise<void> {
    const tool: RunningTool = { name, input: this.#inputText(input), shownLines: 0, unfinishedLine: '' };
    this.#tools.set(id, tool);
    await this.#note(`> ${name}${tool.input === '' ? '' : ` ${tool.input}`}`, 'cyan');
  }

  /** Whole lines while the only call runs, up to half of the limit: the other half is for the end of the output. */
  async #toolOutput(id: string, content: string): Promise<void> {
    const tool = this.#tools.get(id);
    // In a CI's log the output is a group of its own, which other lines must not get into.
    if (tool === undefined || this.#tools.size > 1 || this.#output.ci !== undefined) return;
    const room = this.#headLinesMax() - tool.shownLines;
    if (room <= 0) return;
    const lines = (tool.unfinishedLine + content).split('\n');
    tool.unfinishedLine = lines.pop() ?? '';
    tool.shownLines += Math.min(lines.length, room);
    await this.#outputLines(lines.slice(0, room));
  }

  async #toolCompleted(data: FollowedEvent['data']): Promise<void> {
    const id = String(data['tool_execution_id']);
    const tool = this.#tools.get(id);
    this.#tools.delete(id);
    const name = tool?.name ?? String(data['tool_name']);
    // Beside others, or after its own line has scrolled away, a result says what it belongs to.
    const label = this.#tools.size > 0 && tool !== undefined && tool.input !== '' ? `${name} ${tool.input}` : name;
    const isGood = data['status'] === 'success';
    await this.#result(typeof data['tool_output'] === 'string' ? data['tool_output'] : '', tool, name);
    const words = isGood ? 'ok' : outcomeWord(data['outcome']);
    const duration = typeof data['duration_ms'] === 'number' ? ` in ${formatDuration(data['duration_ms'])}` : '';
    const error = data['tool_error'] ?? data['error'];
    const reason = !isGood && typeof error === 'string' && error !== '' ? `: ${firstLine(error)}` : '';
    await this.#note(`  ${words}: ${label}${duration}${reason}`, isGood ? 'green' : 'red');
  }

  async #result(text: string, tool: RunningTool | undefined, name: string): Promise<void> {
    const isShown = text.trim() !== '' && this.#options.outputLinesMax > 0;
    const title = `${name} ${tool?.input ?? ''}`.trim();
    const group = isShown ? groupOf(this.#output.ci, title, (this.#groups += 1)) : undefined;
    if (group !== undefined) {
      await this.endLines();
      await this.#output.stderr.mark(group.start);
    }
    await this.#resultLines(text, tool?.shownLines ?? 0);
    if (group !== undefined) await this.#output.stderr.mark(group.end);
  }

  async #resultLines(text: string, shownLines: number): Promise<void> {
    const max = this.#options.outputLinesMax;
    const trimmed = text.replace(/\n+$/, '');
    if (trimmed === '' || max === 0) return;
    const lines = trimmed.split('\n');
    if (lines.length <= max) return await this.#outputLines(lines.slice(shownLines));
    const head = this.#headLinesMax();
    const tail = max - head;
    await this.#outputLines(lines.slice(shownLines, head));
    await this.#note(`  … ${lines.length - max} more lines (--full-output shows them)`, 'dim');
    await this.#outputLines(tail === 0 ? [] : lines.slice(-tail));
  }

  #headLinesMax(): number {
    const max = this.#options.outputLinesMax;
    return max === Infinity ? Infinity : Math.ceil(max / 2);
  }

  async #outputLines(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    await this.#prepareNote();
    const { stderr } = this.#output;
    await stderr.write(lines.map((line) => stderr.style('dim', `  | ${stderr.foreign(line)}`) + '\n').join(''));
  }

  async #status(status: string, reason: string): Promise<void> {
    const isNews = status === 'paused' || status === 'waiting_for_input' || this.#options.isVerbose;
    if (isNews && status !== '')
      await this.#note(`status: ${status.replaceAll('_', ' ')}${reason === '' ? '' : ` (${reason})`}`, 'dim');
  }

  async #note(line: string, style: 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'): Promise<void> {
    await this.#prepareNote();
    const { stderr } = this.#output;
    await this.#output.note(stderr.style(style, stderr.foreign(line)));
  }

  /** The only text among the arguments stands for itself: `> run_shell_command ls -la` reads best. */
  #inputText(input: unknown): string {
    if (typeof input !== 'object' || input === null) return typeof input === 'string' ? shorten(input) : '';
    const entries: [string, unknown][] = Object.entries(input);
    if (this.#options.isVerbose) return JSON.stringify(input);
    const only = entries.length === 1 ? entries[0]?.[1] : undefined;
    if (entries.length === 0) return '';
    return shorten(typeof only === 'string' ? only : JSON.stringify(input));
  }
}

function resolvedText(status: string, by: string, reason: string): string {
  const who = by === '' ? '' : ` by ${by}`;
  const why = reason === '' ? '' : `: ${reason}`;
  switch (status) {
    case 'approved':
      return `approved${who}${why}`;
    case 'expired':
      return 'nobody answered in time, so it is not approved';
    default:
      return `denied${who}${why}`;
  }
}

function outcomeWord(outcome: unknown): string {
  return outcome === 'cancelled' || outcome === 'interrupted' ? outcome : 'failed';
}

function firstLine(text: string): string {
  return shorten(text.trim().split('\n')[0] ?? '');
}

function shorten(text: string): string {
  const line = text.replace(/\s*\n\s*/g, ' ');
  return line.length > inputCharactersMax ? `${line.slice(0, inputCharactersMax)}…` : line;
}
