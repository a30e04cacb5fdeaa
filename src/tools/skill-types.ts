// The list of all kinds of skills.
import { agentCommunicationSkill } from './agent-communication.ts';
import { approvalSkill } from './approval.ts';
import type { SkillType } from './configuration.ts';
import { customSkill } from './custom.ts';
import { dataVisualizationSkill } from './data-visualization.ts';
import { dockerSkill } from './docker.ts';
import { fileGenerationSkill, fileSystemSkill } from './files.ts';
import { pythonSkill } from './python.ts';
import { shellSkill } from './shell.ts';
import { sleepSkill } from './sleep.ts';
import { workflowExecutorSkill } from './workflow-executor.ts';

export const skillTypes: readonly SkillType[] = [
  shellSkill,
  fileSystemSkill,
  pythonSkill,
  fileGenerationSkill,
  dataVisualizationSkill,
  dockerSkill,
  customSkill,
  workflowExecutorSkill,
  sleepSkill,
  agentCommunicationSkill,
  approvalSkill,
];
