// The times by which a worker and Temporal notice each other's absence, local and remote.
import type { CallTiming, PollTiming } from '../agent/state.ts';

/** Locally heartbeats are free: a killed worker is noticed within 2 s, four beats. Remotely every one is billed, so a minute has to do. */
const localHeartbeatTimeoutMs = 2_000;
const remoteHeartbeatTimeoutMs = 60_000;
export const localHeartbeatEveryMs = 500;
export const remoteHeartbeatEveryMs = 10_000;

/** A worker killed while it holds a workflow task costs this long; 10 s is the server's default. */
const localWorkflowTaskTimeoutMs = 3_000;
const remoteWorkflowTaskTimeoutMs = 10_000;

/**
 * A worker that is started again is back within a second or two, locally; noticed after 3 s, a killed one's execution goes on
 * elsewhere within 10 s of the kill. Remotely a new machine may have to be found for it.
 */
const localLeaseLookMs = 3_000;
const remoteLeaseLookMs = 30_000;

/** Around a tool's own limit: starting, stopping its processes and writing the journal must fit as well. */
const activityMarginMs = 60_000;

/** Our own server tells the workflow of a verdict at once; this is for one that could not. The cloud tells nobody. */
const localApprovalPolls: PollTiming = { firstMs: 60_000, mostMs: 300_000 };
const remoteApprovalPolls: PollTiming = { firstMs: 10_000, mostMs: 60_000 };
/** Another execution takes seconds at the least; nobody tells of its end. */
const localExecutionPolls: PollTiming = { firstMs: 500, mostMs: 8_000 };
const remoteExecutionPolls: PollTiming = { firstMs: 5_000, mostMs: 60_000 };

export function callTiming(isLocal: boolean, toolTimeMsMax: number): CallTiming {
  return {
    heartbeatTimeoutMs: isLocal ? localHeartbeatTimeoutMs : remoteHeartbeatTimeoutMs,
    startToCloseMs: toolTimeMsMax + activityMarginMs,
    workflowTaskTimeoutMs: isLocal ? localWorkflowTaskTimeoutMs : remoteWorkflowTaskTimeoutMs,
    leaseLookMs: isLocal ? localLeaseLookMs : remoteLeaseLookMs,
    polls: isLocal
      ? { approval: localApprovalPolls, execution: localExecutionPolls }
      : { approval: remoteApprovalPolls, execution: remoteExecutionPolls },
  };
}
