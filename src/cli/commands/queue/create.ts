// `kubiya queue create`.
import { createQueueSchema, queueSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { fileFlag, readBody, requireFlags } from '../../nouns/body.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create a queue' },
  scope: 'api',
  examples: [
    ['kubiya queue create --name ci', 'in the default environment'],
    ['kubiya queue create --name ci --environment staging --json', 'in another one'],
  ],
  args: {
    environment: {
      type: 'text',
      valueName: 'id|name',
      defaultText: 'ENVIRONMENT_NAME, else default',
      description: 'environment it belongs to',
    },
    name: { type: 'text', description: 'name of the queue' },
    'max-workers': {
      type: 'integer',
      min: 1,
      max: 10_000,
      valueName: 'count',
      description: 'workers that may serve it',
    },
    description: { type: 'text', valueName: 'text', description: 'what the queue is for' },
    file: fileFlag,
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    requireFlags(args, ['name']);
    const config = await loadConfig();
    const client = await connect(config);
    const wanted = args.environment ?? config.environmentName;
    const environment = lookUp('environment', wanted, await client.listEnvironments());
    const flags = { name: args.name, description: args.description, max_workers: args['max-workers'] };
    const body = await readBody({ schema: createQueueSchema, answer: queueSchema, file: args.file, cwd, flags });
    await printThing(output, await client.createQueue(environment.id, body), args.json);
  },
});
