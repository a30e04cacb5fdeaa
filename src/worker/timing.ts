// The times by which a worker and Temporal notice each other's absence, local and remote.
import type { CallTiming } from '../agent/state.ts';

/** Locally heartbeats are free: a killed worker is noticed within 2 s, four beats. Remotely every one is billed, so a minute has to do. */
const localHeartbeatTimeoutMs = 2_000;
const remoteHeartbeatTimeoutMs = 60_000;
export const localHeartbeatEveryMs = 500;
export const remoteHeartbeatEveryMs = 10_000;

/** A worker killed while it holds a workflow task costs this long; 10 s is the server's default. */
const localWorkflowTaskTimeoutMs = 3_000;
const remoteWorkflowTaskTimeoutMs = 10_000;

/** Around a tool's own limit: starting, stopping its processes and writing the journal must fit as well. */
const activityMarginMs = 60_000;

export function callTiming(isLocal: boolean, toolTimeMsMax: number): CallTiming {
  return {
    heartbeatTimeoutMs: isLocal ? localHeartbeatTimeoutMs : remoteHeartbeatTimeoutMs,
    startToCloseMs: toolTimeMsMax + activityMarginMs,
    workflowTaskTimeoutMs: isLocal ? localWorkflowTaskTimeoutMs : remoteWorkflowTaskTimeoutMs,
  };
}
