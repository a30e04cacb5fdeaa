// The workflows a worker registers, by the names the control plane starts them with.
export { AgentExecutionWorkflow } from './agent-execution.ts';
