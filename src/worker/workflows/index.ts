// The workflows a worker registers, by the names the control plane starts them with.
export { AgentExecutionWorkflow } from './agent-execution.ts';
export { DynamicAgentExecutionWorkflow } from './dynamic-execution.ts';
export { ScheduledJobWrapperWorkflow } from './scheduled-job.ts';
export { TeamExecutionWorkflow } from './team-execution.ts';
