// The flags that describe a job, and what they ask the control plane for.
import type { Config } from '../../config/config.ts';
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { cronProblem } from '../../protocol/cron.ts';
import {
  catchUpSecondsDefault,
  catchUpSecondsMin,
  overlapPolicies,
  timeZoneProblem,
  type Job,
  type UpdateJob,
} from '../../protocol/jobs.ts';
import { startFlags } from '../exec/flags.ts';
import { readPrompt } from '../exec/prompt.ts';
import { environmentOf } from '../exec/request.ts';
import { findEntity, findQueue } from '../exec/target.ts';
import { type ArgDeclarations, usage, type ValuesOf } from '../flags.ts';
import { lookUp } from '../lookup.ts';

const dayMs = 86_400_000;

export const jobFlags = {
  cron: { type: 'text', valueName: 'expression', description: 'run at these times: minute hour day month weekday' },
  timezone: {
    type: 'text',
    valueName: 'zone',
    defaultText: 'UTC',
    description: 'time zone of --cron, such as Europe/Berlin',
  },
  every: {
    type: 'duration',
    minMs: 1_000,
    maxMs: 365 * dayMs,
    valueName: 'duration',
    description: 'run again and again after so long, counted from 1970: 15m is at 0, 15, 30 and 45 minutes',
  },
  webhook: { type: 'switch', description: 'run when somebody calls its URL with a signature' },
  agent: { type: 'text', valueName: 'id|name', description: 'agent that runs it' },
  team: { type: 'text', valueName: 'id|name', description: 'team that runs it' },
  prompt: {
    type: 'text',
    valueName: 'text',
    description: 'what is to be done; - reads stdin; {{.body.x}} is a field of what a webhook sent',
  },
  'prompt-file': { type: 'path', valueName: 'file', description: 'read the prompt from a file' },
  'system-prompt': { type: 'text', valueName: 'text', description: 'system prompt of its runs' },
  model: { type: 'text', valueName: 'id', defaultText: 'that of the agent', description: 'model of its runs' },
  queue: { type: 'text', valueName: 'id|name', description: 'queue of its runs' },
  cwd: startFlags.cwd,
  timeout: {
    type: 'duration',
    minMs: 1_000,
    maxMs: 7 * dayMs,
    valueName: 'duration',
    description: 'end a run after so long',
  },
  'max-cost': { ...startFlags['max-cost'], description: 'end a run when its model calls have cost so much' },
  env: startFlags.env,
  'env-file': startFlags['env-file'],
  secret: startFlags.secret,
  'skill-dir': { ...startFlags['skill-dir'], description: 'folder with skills for its runs' },
  overlap: {
    type: 'choice',
    choices: overlapPolicies,
    defaultText: 'skip',
    description: 'what happens to a run that is due while the last one goes on',
  },
  'catch-up': {
    type: 'duration',
    minMs: catchUpSecondsMin * 1000,
    maxMs: 365 * dayMs,
    valueName: 'duration',
    defaultText: `${catchUpSecondsDefault}s`,
    description: 'how late a run may still begin after the server was away',
  },
  description: { type: 'text', valueName: 'text', description: 'what the job is for' },
} as const satisfies ArgDeclarations;

export interface JobFlagsContext {
  readonly client: ControlPlaneClient;
  readonly config: Config;
  readonly cwd: string;
}

/** Only what was given. Throws for what contradicts itself, before the control plane is asked. */
export function checkJobFlags(args: ValuesOf<typeof jobFlags>): void {
  const kinds = [
    args.cron === undefined ? '' : '--cron',
    args.every === undefined ? '' : '--every',
    args.webhook ? '--webhook' : '',
  ];
  const [first, second] = kinds.filter((flag) => flag !== '');
  if (second !== undefined)
    throw usage(`${first} and ${second} exclude each other`, 'flags_conflict', 'choose one of them');
  if (args.agent !== undefined && args.team !== undefined)
    throw usage('--agent and --team exclude each other', 'flags_conflict', 'choose one of them');
  const cron = args.cron === undefined ? null : cronProblem(args.cron);
  if (cron !== null) throw usage(`--cron ${cron}`, 'flag_invalid');
  const zone = args.timezone === undefined ? null : timeZoneProblem(args.timezone);
  if (zone !== null) throw usage(`--timezone ${zone}`, 'flag_invalid');
  if (args.timezone !== undefined && (args.every !== undefined || args.webhook))
    throw usage('--timezone is for --cron', 'flags_conflict', 'leave it out');
}

export async function jobFieldsOf(
  args: ValuesOf<typeof jobFlags>,
  { client, config, cwd }: JobFlagsContext,
): Promise<UpdateJob> {
  const hasPrompt = args.prompt !== undefined || args['prompt-file'] !== undefined;
  const environment = environmentOf(args, cwd);
  return {
    ...(args.cron === undefined ? {} : { trigger_type: 'cron' as const, cron_schedule: args.cron }),
    ...(args.timezone === undefined ? {} : { cron_timezone: args.timezone }),
    ...(args.every === undefined
      ? {}
      : { trigger_type: 'interval' as const, interval_seconds: wholeSeconds(args.every) }),
    ...(args.webhook ? { trigger_type: 'webhook' as const } : {}),
    ...(await entityOf(args, client)),
    ...(hasPrompt
      ? { prompt_template: await readPrompt({ argument: args.prompt, file: args['prompt-file'], cwd }) }
      : {}),
    ...(args.queue === undefined ? {} : { worker_queue_id: (await findQueue(client, config, args.queue)).id }),
    ...(Object.keys(environment).length === 0 ? {} : { execution_environment: environment }),
    ...(args['catch-up'] === undefined ? {} : { catch_up_seconds: wholeSeconds(args['catch-up']) }),
    ...(args['max-cost'] === undefined ? {} : { limits: { max_cost_usd: args['max-cost'] } }),
    system_prompt: args['system-prompt'],
    model_id: args.model,
    overlap_policy: args.overlap,
    description: args.description,
  };
}

async function entityOf(
  { agent, team }: ValuesOf<typeof jobFlags>,
  client: ControlPlaneClient,
): Promise<Pick<UpdateJob, 'entity_type' | 'entity_id'>> {
  const kind = team === undefined ? 'agent' : 'team';
  const wanted = team ?? agent;
  if (wanted === undefined) return {};
  return { entity_type: kind, entity_id: (await findEntity(client, kind, wanted)).id };
}

function wholeSeconds(ms: number): number {
  return Math.round(ms / 1000);
}

export async function findJob(client: ControlPlaneClient, wanted: string): Promise<Job> {
  return lookUp('job', wanted, await client.listJobs());
}
