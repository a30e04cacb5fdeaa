// What the control plane answers to a command about a running execution: 200 also when it could not be done.
import { KubiyaError } from '../errors.ts';
import type { ControlResponse } from '../protocol/control-plane.ts';
import { defineCommand, type Command } from './command.ts';
import { connect } from './connect.ts';
import { jsonFlag } from './flags.ts';

/** Throws when it was not done; `done` is what did not become of the execution. */
export function refuseFailedControl(
  answer: ControlResponse,
  { id, done, code }: { readonly id: string; readonly done: string; readonly code: string },
): void {
  if (answer.success) return;
  throw new KubiyaError(answer.error ?? `the execution ${id} could not be ${done}`, {
    kind: 'api_refused',
    code,
    hint: `\`kubiya execution get ${id}\` shows its state`,
  });
}

const verbs = {
  pause: { done: 'paused', method: 'pauseExecution', description: 'hold an execution after its current step' },
  resume: { done: 'resumed', method: 'resumeExecution', description: 'let a paused execution go on' },
} as const;

/** `execution pause` and `execution resume`. */
export function controlCommand(verb: keyof typeof verbs): Command {
  const { done, method, description } = verbs[verb];
  return defineCommand({
    meta: { description },
    scope: 'api',
    examples: [[`kubiya execution ${verb} $ID`, description]],
    args: { execution: { type: 'positional', description: 'id of the execution' }, json: jsonFlag },
    run: async ({ args, output, loadConfig }) => {
      const client = await connect(await loadConfig());
      const answer = await client[method](args.execution);
      refuseFailedControl(answer, { id: args.execution, done, code: `not_${done}` });
      if (args.json) return await output.printJson(answer);
      await output.note(output.stderr.foreign(answer.message ?? `the execution is ${done}`));
    },
  });
}
