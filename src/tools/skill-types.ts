// The list of all kinds of skills.
import { agentCommunicationSkill } from './agent-communication.ts';
import { approvalSkill } from './approval.ts';
import type { SkillType } from './configuration.ts';
import { fileGenerationSkill, fileSystemSkill } from './files.ts';
import { pythonSkill } from './python.ts';
import { shellSkill } from './shell.ts';
import { sleepSkill } from './sleep.ts';

export const skillTypes: readonly SkillType[] = [
  shellSkill,
  fileSystemSkill,
  pythonSkill,
  fileGenerationSkill,
  sleepSkill,
  agentCommunicationSkill,
  approvalSkill,
];
