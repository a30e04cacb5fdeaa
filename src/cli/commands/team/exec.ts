// `kubiya team exec`: another name of `kubiya exec team`.
import type { Command } from '../../command.ts';
import execute from '../exec/team.ts';

const command: Command = {
  ...execute,
  examples: [['kubiya team exec incident "why is checkout slow?"', 'the same as `kubiya exec team`']],
};
export default command;
