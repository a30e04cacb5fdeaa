// Several scripted conversations on one model server: a prompt names the one it belongs to.
import {
  type ScriptedReply,
  type ScriptedServer,
  startScriptedAnthropic,
  startScriptedOpenAi,
} from '../support/model-servers.ts';

type Request = ScriptedServer['requests'][number];
/** A reply, or what makes one of the request. */
export type ScenarioReply = ScriptedReply | ((request: Request) => ScriptedReply);

export interface Scenarios {
  readonly url: string;
  /** Registers a conversation and gives the words that a prompt must hold to belong to it. */
  add(replies: readonly ScenarioReply[]): Scenario;
  stop(): Promise<void>;
}

export interface Scenario {
  readonly tag: string;
  readonly requests: readonly Request[];
  /** Epoch milliseconds at which each request came. */
  readonly times: readonly number[];
}

type Dialect = 'openai' | 'anthropic';

export async function startScenarios(dialect: Dialect): Promise<Scenarios> {
  const all = new Map<string, { requests: Request[]; times: number[]; replies: readonly ScenarioReply[] }>();
  const start = dialect === 'openai' ? startScriptedOpenAi : startScriptedAnthropic;
  const server = await start((request) => {
    // The last one that a person named: a conversation may go on from another one's, and a leader names those of its members.
    const messages = request.body['messages'] as { role: string }[];
    const lastTag = (said: readonly unknown[]): string | undefined =>
      JSON.stringify(said)
        .match(/scenario-\d+/g)
        ?.at(-1);
    // Else that of its agent, whose system prompt is a field of its own or a message.
    const tag = lastTag(messages.filter(({ role }) => role === 'user')) ?? lastTag([request.body]) ?? '';
    const scenario = all.get(tag);
    const reply = scenario?.replies[scenario.requests.length];
    if (scenario === undefined || reply === undefined) {
      throw new Error(
        `was asked ${(scenario?.requests.length ?? 0) + 1} times for ${tag === '' ? 'no scenario' : tag}`,
      );
    }
    scenario.requests.push(request);
    scenario.times.push(Date.now());
    return typeof reply === 'function' ? reply(request) : reply;
  });
  return {
    url: server.url,
    add: (replies) => {
      const scenario = { tag: `scenario-${all.size + 1}`, requests: [], times: [], replies };
      all.set(scenario.tag, scenario);
      return scenario;
    },
    stop: () => server.stop(),
  };
}
