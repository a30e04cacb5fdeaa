// The runtime claude_code: one turn of an agent is one run of the `claude` program, told and journaled as a call with side effects.
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { ModelFact, PreparedAgent } from '../../agent/state.ts';
import { messageOf } from '../../errors.ts';
import { writeFileAtomic } from '../../lib/atomic-file.ts';
import { readTextFile } from '../../lib/bounded-file.ts';
import { modelMessageSchema, type ModelMessage, noUsage } from '../../protocol/model.ts';
import { claudeArguments, claudeServersOf, mcpConfigText, permissionsOf } from '../../tools/claude-code/options.ts';
import { type ClaudeRun, runClaude } from '../../tools/claude-code/run.ts';
import { blocksOf, type ClaudeLine, type ClaudeResult, resultText } from '../../tools/claude-code/stream.ts';
import type { CallContext } from '../calls.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import { localHeartbeatEveryMs, remoteHeartbeatEveryMs } from '../timing.ts';
import { runAttempt } from './attempt.ts';
import { logCall } from './call-log.ts';
import { type ExecutionContexts, workspaceOf } from './execution-context.ts';
import { createMessageStream } from './message-stream.ts';
import { judgeAnswer } from './output-schema.ts';
import { createToolEvents } from './tool-events.ts';
import type { AgentActivities, CallToolInput } from './types.ts';

/** Half of what Temporal takes as one payload, as for every answer. */
const answerCharactersMax = 500_000;

const mcpConfigPrefix = '.claude-mcp-';
/** The program reads its servers in its first seconds; what is older was left by a worker that was killed. */
const mcpConfigAgeMsMax = 60_000;

/** What the workflow gives as the call's arguments. */
const turnSchema = v.object({
  messages: v.array(modelMessageSchema),
  /** A worker vanished in the middle of this turn. */
  isResumed: v.boolean(),
});
type Turn = v.InferOutput<typeof turnSchema>;

const sessionSchema = v.object({ sessionId: v.pipe(v.string(), v.regex(/^[\w-]{1,100}$/)) });

/** How a run ended; `interrupted` means that nobody knows how far it came. */
type TurnEnd = { readonly type: 'fact'; readonly fact: ModelFact } | { readonly type: 'interrupted' };

export function createClaudeCode(
  session: Session,
  deps: WorkerDeps,
  contexts: ExecutionContexts,
): AgentActivities['callTool'] {
  const heartbeatEveryMs = session.isLocal ? localHeartbeatEveryMs : remoteHeartbeatEveryMs;
  removeLeftSecrets(session.directories.python, deps);
  return async (input) => {
    const { executionId, turn, prepared, call } = input;
    const end = await runAttempt({ executionId, callId: call.callId, heartbeatEveryMs }, deps, (attempt) =>
      deps.calls.run<TurnEnd>(
        {
          executionId,
          callId: call.callId,
          turn,
          attempt: attempt.number,
          scheduledAtMs: attempt.scheduledAtMs,
          effect: 'side_effecting',
          isOursAlone: prepared.lease?.journalId === session.journalId,
          mayHaveStarted: input.mayHaveStarted === true,
        },
        {
          prepare: async () => void (await contexts.of(executionId, prepared)),
          start: (context) => runTurn(input, context, { session, deps, contexts }),
          interrupted: () => ({ type: 'interrupted' }),
          revive: reviveEnd,
        },
      ),
    );
    const answer = end.type === 'fact' ? { answer: end.fact } : {};
    return { callId: call.callId, content: '', isError: end.type !== 'fact', ...answer };
  };
}

/** An execution may never come back to a worker that was killed, and its servers' secrets would stay. */
function removeLeftSecrets(directory: string, { clock, log }: WorkerDeps): void {
  try {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const isOurs = name.startsWith(mcpConfigPrefix) || name.startsWith(`.${mcpConfigPrefix}`);
      if (isOurs && clock.now() - statSync(path).mtimeMs > mcpConfigAgeMsMax) rmSync(path, { force: true });
    }
  } catch (error) {
    log.warn('Files of claude that a killed worker left could not be removed', { reason: messageOf(error) });
  }
}

/** The journal is ours and owner-only. */
function reviveEnd(recorded: unknown): TurnEnd | undefined {
  const isEnd = typeof recorded === 'object' && recorded !== null && 'type' in recorded;
  return isEnd && (recorded.type === 'fact' || recorded.type === 'interrupted') ? (recorded as TurnEnd) : undefined;
}

interface Surroundings {
  readonly session: Session;
  readonly deps: WorkerDeps;
  readonly contexts: ExecutionContexts;
}

async function runTurn(input: CallToolInput, call: CallContext, surroundings: Surroundings): Promise<TurnEnd> {
  const { session, deps, contexts } = surroundings;
  const { executionId, prepared } = input;
  const turn = v.parse(turnSchema, JSON.parse(input.call.arguments));
  const context = await contexts.of(executionId, prepared);
  // Its own directory also where the agent works elsewhere: a person's project is no place for our files.
  const directory = workspaceOf(session, executionId, undefined);
  // Members of a team share the directory. The same name in every turn: what a killed worker left is replaced and removed.
  const own = executionId.replaceAll(/[^A-Za-z0-9_-]/g, '_');
  // Beside the workspaces: what it holds is not for the agent to read.
  const mcpConfigFile = join(session.directories.python, `${mcpConfigPrefix}${own}.json`);
  const sessionFile = join(directory, `.claude-session-${own}.json`);
  const sessionId = readSession(sessionFile);
  const configuration = claudeServersOf(await contexts.mcpOf(executionId, prepared), context.workspace);
  writeFileAtomic(mcpConfigFile, mcpConfigText(configuration));
  try {
    const { model, systemPrompt, skillInstructions, claudeCode } = prepared;
    const words = claudeArguments({
      model,
      systemPrompt,
      permissionMode: claudeCode?.permissionMode ?? 'default',
      instructions: skillInstructions ?? [],
      permissions: permissionsOf(prepared.skills),
      servers: configuration.servers,
      mcpConfigFile,
      sessionId,
    });
    const teller = createTeller(input, call, deps);
    const startedAtMs = deps.clock.now();
    const run = await runClaude(
      {
        words,
        prompt: promptOf(turn, sessionId !== undefined),
        callId: input.call.callId,
        cwd: context.workspace,
        environment: context.environment,
        limitMs: turnTimeMsMaxOf(prepared),
      },
      { spawner: deps.spawner, signal: call.signal },
      (line) => {
        if ('session_id' in line && typeof line.session_id === 'string')
          saveSession(sessionFile, line.session_id, deps);
        teller.tell(line);
      },
    );
    // A session that is not there any more is forgotten; the next turn tells the whole conversation.
    if (run.result?.is_error === true && sessionId !== undefined) rmSync(sessionFile, { force: true });
    const end = endOf(run, { input, call, deps }, teller);
    record(input, end, startedAtMs, deps);
    return end;
  } finally {
    rmSync(mcpConfigFile, { force: true });
  }
}

type Following = { readonly input: CallToolInput; readonly call: CallContext; readonly deps: WorkerDeps };

function endOf(run: ClaudeRun, { input, call, deps }: Following, teller: Teller): TurnEnd {
  const { result } = run;
  const text = deps.redactor
    .redact(result?.result ?? '')
    .slice(0, answerCharactersMax)
    .toWellFormed();
  if (result !== undefined && !result.is_error) {
    teller.complete(text);
    return { type: 'fact', fact: answerOf(text, result, input.prepared.outputSchema) };
  }
  if (call.signal.aborted && call.signal.reason === 'drain') return { type: 'interrupted' };
  if (call.signal.aborted) return failed('cancelled', 'The turn was cancelled');
  if (run.isTimeUp) return failed('timeout', `claude took longer than ${turnTimeMsMaxOf(input.prepared) / 1000} s`);
  const reason = text === '' ? (result?.subtype ?? '') : text;
  const words = [reason, deps.redactor.redact(run.words)].filter((part) => part !== '').join('; ');
  const how = result === undefined ? `ended with exit code ${run.exitCode}` : 'failed';
  return failed('invalid_request', `claude ${how}${words === '' ? '' : `: ${words}`}`);
}

function failed(kind: 'cancelled' | 'timeout' | 'invalid_request', message: string): TurnEnd {
  return { type: 'fact', fact: { type: 'failure', failure: { kind, message } } };
}

function answerOf(
  content: string,
  { usage, total_cost_usd: costUsd }: ClaudeResult,
  schema: object | undefined,
): ModelFact {
  const read = usage?.cache_read_input_tokens ?? 0;
  const written = usage?.cache_creation_input_tokens ?? 0;
  return {
    type: 'answer',
    message: { role: 'assistant', content, toolCalls: [] },
    effects: [],
    usage: {
      inputTokens: (usage?.input_tokens ?? 0) + read + written,
      outputTokens: usage?.output_tokens ?? 0,
      cacheReadTokens: read,
      cacheWriteTokens: written,
    },
    ...(costUsd === undefined ? {} : { costUsd }),
    ...(schema === undefined ? {} : { structured: judgeAnswer(content, { ...schema }) }),
    isFiltered: false,
  };
}

function record(
  { executionId, turn, prepared, call }: CallToolInput,
  end: TurnEnd,
  startedAtMs: number,
  deps: WorkerDeps,
): void {
  const fact = end.type === 'fact' ? end.fact : undefined;
  const failure = fact?.type === 'failure' ? fact.failure : undefined;
  const answer = fact?.type === 'answer' ? fact : undefined;
  const durationMs = deps.clock.now() - startedAtMs;
  deps.meter.record({
    type: 'model_called',
    executionId,
    callId: call.callId,
    agentName: prepared.agentName,
    traceparent: prepared.traceparent,
    attempt: 1,
    model: prepared.model,
    outcome: fact === undefined ? 'cancelled' : (failure?.kind ?? 'success'),
    usage: answer?.usage ?? noUsage,
    toolCalls: 0,
    costUsd: answer?.costUsd,
    chargedUsd: answer?.costUsd,
    startedAtMs,
    durationMs,
  });
  logCall(deps, {
    execution: executionId,
    turn,
    called: { model: prepared.model, attempt: 1 },
    durationMs,
    reason: fact === undefined ? 'interrupted' : failure?.message,
  });
}

const turnTimeMsMaxOf = ({ claudeCode, limits }: PreparedAgent): number =>
  claudeCode?.turnTimeMsMax ?? limits.toolTimeMsMax;

interface Teller {
  tell(line: ClaudeLine): void;
  complete(text: string): void;
}

/** What it says and does, as events of the execution. */
function createTeller(
  { executionId, turn, call: { callId } }: CallToolInput,
  call: CallContext,
  deps: WorkerDeps,
): Teller {
  const stream = createMessageStream(executionId, callId, 1, deps);
  const running = new Map<
    string,
    { readonly events: ReturnType<typeof createToolEvents>; readonly startedAtMs: number }
  >();
  let said = '';
  const say = (text: string): void => {
    const piece = said === '' ? text : `\n\n${text}`;
    said += piece;
    stream.push({ type: 'text', text: piece });
    call.onOutput(deps.redactor.redact(piece));
  };
  return {
    tell: (line) => {
      if (line.type !== 'assistant' && line.type !== 'user') return;
      for (const block of blocksOf(line)) {
        if (block.type === 'text' && line.type === 'assistant') say(block.text);
        else if (block.type === 'thinking') stream.push({ type: 'thinking', text: block.thinking });
        else if (block.type === 'tool_use') {
          const tool = {
            callId: `${callId}:${block.id}`,
            name: block.name,
            arguments: JSON.stringify(block.input ?? {}),
          };
          const events = createToolEvents({ executionId, turn, call: tool }, deps);
          running.set(block.id, { events, startedAtMs: deps.clock.now() });
          events.started();
        } else if (block.type === 'tool_result') {
          const tool = running.get(block.tool_use_id);
          running.delete(block.tool_use_id);
          const output = deps.redactor.redact(resultText(block.content));
          const durationMs = deps.clock.now() - (tool?.startedAtMs ?? deps.clock.now());
          const isError = block.is_error === true;
          tool?.events.completed({
            status: isError ? 'failed' : 'success',
            output,
            durationMs,
            ...(isError ? { error: 'The tool failed' } : {}),
          });
        }
      }
    },
    complete: (text) => {
      // An answer that no message brought: of a command of the program's own.
      if (!said.endsWith(text)) say(text);
      stream.complete(said);
    },
  };
}

/** A session knows what was said before; a new one is told. */
function promptOf({ messages, isResumed }: Turn, hasSession: boolean): string {
  const answered = messages.findLastIndex(({ role }) => role === 'assistant');
  const newest = messages
    .slice(answered + 1)
    .map(({ content }) => content)
    .join('\n\n');
  const before = messages.slice(0, answered + 1);
  const told =
    hasSession || before.length === 0 ? '' : `The conversation so far:\n${before.map(spoken).join('\n\n')}\n\nNow:\n`;
  const note =
    'The worker stopped while you worked on this. What you had begun may or may not have taken effect: look before you repeat it, then go on.';
  return isResumed ? `${told}${note}\n\n${newest}` : `${told}${newest}`;
}

const spoken = (message: ModelMessage): string => `${message.role}: ${message.content}`;

function readSession(path: string): string | undefined {
  try {
    return v.parse(sessionSchema, JSON.parse(readTextFile(path))).sessionId;
  } catch {
    // Not there, or not ours: a new session is told the conversation.
    return undefined;
  }
}

/** The program may have removed the directory, and the disk may be full: the next turn then tells the conversation. */
function saveSession(path: string, sessionId: string, { log }: WorkerDeps): void {
  try {
    writeFileAtomic(path, JSON.stringify({ sessionId }));
  } catch (error) {
    log.warn('The session of claude cannot be kept', { reason: messageOf(error) });
  }
}
