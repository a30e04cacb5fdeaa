// The local activities of a scheduled run: they tell the control plane that its execution exists and how it ended.
import { KubiyaError } from '../../errors.ts';
import type { WorkerDeps } from '../deps.ts';
import { asFailure } from './attempt.ts';
import type { AgentActivities } from './types.ts';

export function createJobActivities({
  controlPlane,
  log,
}: Pick<WorkerDeps, 'controlPlane' | 'log'>): Pick<AgentActivities, 'createJobExecution' | 'reportJob'> {
  return {
    createJobExecution: async ({ execution, jobId, metadata }) => {
      const isTeam = 'team_id' in execution;
      const triggerType = metadata['trigger_type'];
      try {
        await controlPlane.createExecution({
          execution_id: execution.execution_id,
          job_id: jobId,
          organization_id: execution.organization_id,
          entity_type: isTeam ? 'team' : 'agent',
          entity_id: isTeam ? execution.team_id : execution.agent_id,
          prompt: execution.prompt,
          trigger_type: typeof triggerType === 'string' ? triggerType : 'cron',
          trigger_metadata: metadata,
        });
      } catch (error) {
        throw asFailure(error);
      }
    },
    reportJob: async ({ executionId, jobId, status, durationMs, error }) => {
      if (jobId === undefined) return;
      try {
        await controlPlane.reportJobStatus(executionId, jobId, {
          status,
          duration_ms: Math.max(0, Math.round(durationMs)),
          error_message: error,
        });
      } catch (failure) {
        // Its job was deleted meanwhile: the run is over all the same.
        if (!isRefusal(failure)) throw asFailure(failure);
        log.warn('The control plane did not take the end of a scheduled run', {
          execution: executionId,
          reason: failure.message,
        });
      }
    },
  };
}

function isRefusal(failure: unknown): failure is KubiyaError {
  return failure instanceof KubiyaError && failure.kind === 'api_refused' && !failure.isRetryable;
}
