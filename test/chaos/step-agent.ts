// A scripted agent whose executions make tool calls that each leave one line in a ledger outside, and some kill their worker.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ScriptedReply, type ScriptedServer, startScriptedOpenAi } from '../support/model-servers.ts';

/** Seconds before and after a call's line. */
export interface Pauses {
  readonly before: number;
  readonly after: number;
}

export interface StepAgentOptions {
  readonly steps: number;
  /** Of every call, or of one by its tag and number. */
  readonly pauses: Pauses | ((tag: string, step: number) => Pauses);
  /** Answers a request that is not of an agent of steps: of a team's leader. */
  readonly lead?: (messages: readonly StepMessage[]) => ScriptedReply | undefined;
}

export interface StepMessage {
  readonly role: string;
  readonly content: string;
}

/** What the next call does besides its line: kill its worker before the line, or after it. */
export type Trap = 'none' | 'kill_before_effect' | 'kill_after_effect';

export interface StepAgent {
  readonly model: ScriptedServer;
  /** For the worker: the model's address. */
  readonly environment: Readonly<Record<string, string>>;
  /** What `--model` gets. */
  readonly modelName: string;
  /** The prompt of an execution whose lines are `<tag>:<n>`. */
  promptOf(tag: string): string;
  /** The next call of any execution gets the trap, once. */
  arm(trap: Trap): void;
  /** Whom a trap kills. */
  setWorkers(pids: readonly number[]): void;
  ledger(): string[];
  /** Results of the tool calls as the model saw them last, by tag. */
  readonly results: ReadonlyMap<string, readonly string[]>;
}

export async function startStepAgent(directory: string, { steps, pauses, lead }: StepAgentOptions): Promise<StepAgent> {
  const [script, pidFile, ledgerFile] = ['step.sh', 'victim.pid', 'ledger'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(script, stepScript(pidFile, ledgerFile));
  appendFileSync(ledgerFile, '');
  const results = new Map<string, readonly string[]>();
  let armed: Trap = 'none';
  const reply = (body: Record<string, unknown>): ScriptedReply => {
    const messages = body['messages'] as StepMessage[];
    const led = lead?.(messages);
    if (led !== undefined) return led;
    const tag = /run (\S+)/.exec(messages.find(({ role }) => role === 'user')?.content ?? '')?.[1] ?? '?';
    const seen = messages.filter(({ role }) => role === 'tool').map(({ content }) => content);
    results.set(tag, seen);
    if (seen.length >= steps) return { type: 'text', text: `all ${seen.length} steps of ${tag} are over` };
    const trap = armed;
    armed = 'none';
    const { before, after } = typeof pauses === 'function' ? pauses(tag, seen.length + 1) : pauses;
    const command = `sh '${script}' ${tag} ${seen.length + 1} ${trap} ${before} ${after}`;
    return { type: 'calls', calls: [{ name: 'run_shell_command', arguments: { command } }] };
  };
  const model = await startScriptedOpenAi(({ body }) => reply(body));
  return {
    model,
    environment: { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'sk-scripted' },
    modelName: 'openai/scripted',
    promptOf: (tag) => `run ${tag}`,
    arm: (trap) => {
      armed = trap;
    },
    setWorkers: (pids) => writeFileSync(pidFile, `${pids.join(' ')}\n`),
    ledger: () => readFileSync(ledgerFile, 'utf8').split('\n').filter(Boolean),
    results,
  };
}

/** The line is one write with O_APPEND. A call that has killed its worker waits for its own end. */
function stepScript(pidFile: string, ledgerFile: string): string {
  return `tag=$1 number=$2 trap=$3 before=$4 after=$5
die() { kill -9 $(cat '${pidFile}'); sleep 60; }
sleep $before
[ "$trap" = kill_before_effect ] && die
echo "$tag:$number" >> '${ledgerFile}'
[ "$trap" = kill_after_effect ] && die
sleep $after
echo "did $tag:$number"
`;
}
