// `kubiya execution approve` and `deny`: without an id what waits, with one the answer.
import type { Config } from '../../config/config.ts';
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { KubiyaError } from '../../errors.ts';
import type { Approval } from '../../protocol/approvals.ts';
import { callMarkerName } from '../../protocol/tool.ts';
import { defineCommand, type Command } from '../command.ts';
import { connect } from '../connect.ts';
import { jsonFlag, usage } from '../flags.ts';
import type { Output } from '../output.ts';
import { printList } from '../table.ts';

const verbs = {
  approve: {
    description: 'let a call that waits for an approval go ahead',
    method: 'approve',
    done: 'approved',
    examples: [
      ['kubiya execution approve', 'what waits for an answer'],
      ['kubiya execution approve $ID', 'the one approval of an execution, or an approval by its own id'],
    ],
  },
  deny: {
    description: 'refuse a call that waits for an approval',
    method: 'reject',
    done: 'denied',
    examples: [
      ['kubiya execution deny', 'what waits for an answer'],
      ['kubiya execution deny $ID --reason "not on a Friday"', 'the agent is told why'],
    ],
  },
} as const;

export function approvalCommand(verb: keyof typeof verbs): Command {
  const { description, method, done, examples } = verbs[verb];
  return defineCommand({
    meta: { description },
    scope: 'api',
    details: 'What is approved is exactly what is shown: other arguments need another approval.',
    examples,
    args: {
      id: { type: 'positional', required: false, description: 'id of the execution or of the approval' },
      reason: { type: 'text', valueName: 'text', description: 'told to the agent and kept with the approval' },
      json: jsonFlag,
    },
    run: async ({ args, output, loadConfig }) => {
      const { id, reason, json } = args;
      if (id === undefined && reason !== undefined)
        throw usage('--reason belongs to an answer', 'id_missing', `kubiya execution ${verb} <id> --reason …`);
      const config = await loadConfig();
      if (id !== undefined) refuseAgents(config);
      const client = await connect(config);
      if (id === undefined) return await printWaiting(output, await client.listApprovals({ status: 'pending' }), json);
      const approval = await findWaiting(client, id);
      const settled = await client[method](approval.id, { reason });
      if (json) return await output.printJson(settled);
      await output.note(`${done}: ${output.stderr.foreign(approval.title ?? approval.id)}`);
    },
  });
}

/** An agent that runs this in a shell of its own must not answer for a person. */
function refuseAgents({ childEnvironmentBase }: Config): void {
  if (childEnvironmentBase.reveal()[callMarkerName] === undefined) return;
  throw new KubiyaError('an agent cannot answer an approval', {
    kind: 'denied',
    code: 'approval_by_agent',
    hint: 'a person has to run this command',
  });
}

async function printWaiting(output: Output, approvals: readonly Approval[], isJson: boolean): Promise<void> {
  if (approvals.length === 0 && !isJson) return await output.note('nothing waits for an approval');
  await printList(
    output,
    approvals,
    [
      { title: 'APPROVAL', value: (row) => row.id },
      { title: 'EXECUTION', value: (row) => row.execution_id },
      { title: 'EXPIRES', value: (row) => row.expires_at },
      { title: 'WHAT', value: whatOf },
    ],
    isJson,
  );
}

/** Title, message and arguments: who answers must have seen all of it. */
function whatOf({ title, message, context }: Approval): string {
  const details = Object.keys(context ?? {}).length === 0 ? '' : JSON.stringify(context);
  return [title, message, details].filter((part) => typeof part === 'string' && part !== '').join(' – ');
}

/** An approval by its id, else the only one that the execution of this id waits for. */
async function findWaiting(client: ControlPlaneClient, id: string): Promise<Approval> {
  const byId = await client.getApproval(id).catch((error: unknown) => {
    if (error instanceof KubiyaError && error.kind === 'api_refused') return undefined;
    throw error;
  });
  if (byId !== undefined) return byId;
  const waiting = await client.listApprovals({ executionId: id, status: 'pending' });
  const [only] = waiting;
  if (only !== undefined && waiting.length === 1) return only;
  if (only === undefined) {
    throw new KubiyaError(`the execution ${id} waits for no approval`, {
      kind: 'api_refused',
      code: 'nothing_to_approve',
      hint: `\`kubiya execution get ${id}\` shows its state`,
    });
  }
  const lines = waiting.map((approval) => `${approval.id} (${whatOf(approval)})`);
  throw usage(
    `the execution waits for ${waiting.length} approvals`,
    'approval_ambiguous',
    `name one: ${lines.join(', ')}`,
  );
}
