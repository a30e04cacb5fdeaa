// `kubiya queue update`.
import { queueSchema, updateQueueSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { fileFlag, readBody, refuseEmpty } from '../../nouns/body.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'change a queue' },
  scope: 'api',
  examples: [
    ['kubiya queue update ci --status paused', 'no new executions; those that run go on'],
    ['kubiya queue update ci --name ci-large --max-workers 8', 'another name'],
  ],
  args: {
    queue: { type: 'positional', description: 'id or name of the queue' },
    name: { type: 'text', description: 'name of the queue' },
    'max-workers': {
      type: 'integer',
      min: 1,
      max: 10_000,
      valueName: 'count',
      description: 'workers that may serve it',
    },
    description: { type: 'text', valueName: 'text', description: 'what the queue is for' },
    status: {
      type: 'choice',
      choices: ['active', 'paused', 'inactive'],
      description: 'a queue that is not active takes no new executions',
    },
    file: fileFlag,
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const current = lookUp('queue', args.queue, await client.listQueues());
    const flags = {
      name: args.name,
      description: args.description,
      max_workers: args['max-workers'],
      status: args.status,
    };
    const body = await readBody({
      schema: updateQueueSchema,
      answer: queueSchema,
      file: args.file,
      cwd,
      flags,
      current,
    });
    refuseEmpty(body);
    await printThing(output, await client.updateQueue(current.id, body), args.json);
  },
});
