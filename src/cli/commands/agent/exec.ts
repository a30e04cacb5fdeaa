// `kubiya agent exec`: another name of `kubiya exec agent`.
import type { Command } from '../../command.ts';
import execute from '../exec/agent.ts';

const command: Command = {
  ...execute,
  examples: [['kubiya agent exec reviewer "review the last commit"', 'the same as `kubiya exec agent`']],
};
export default command;
