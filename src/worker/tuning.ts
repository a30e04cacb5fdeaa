// How we use the Temporal SDK: cache, pollers, threads and what crosses the wire. The bare loop of scripts/bench uses the same.
import type { NativeConnectionOptions, WorkerOptions } from '@temporalio/worker';
import { localHeartbeatEveryMs, remoteHeartbeatEveryMs } from './timing.ts';

/**
 * Every poller holds a slot, and an activity that the server could hand over at once (see server/dev-server.ts) needs a free
 * one: with the SDK's ten pollers for ten slots there is none. Two keep a local queue busy; a remote one is a round trip away.
 */
const localPollers = { type: 'simple-maximum', maximum: 2 } as const;
/** All live runs stay in the cache: an evicted one costs a replay of its history. A one-shot worker has one. */
const cachedWorkflowsMax = 500;
/** After a kill the next worker waits this long before it may take a workflow off the dead one's own queue. */
const stickyTimeoutMs = 2_000;

export function workerTuning(isLocal: boolean) {
  const heartbeatEveryMs = isLocal ? localHeartbeatEveryMs : remoteHeartbeatEveryMs;
  return {
    ...(isLocal ? { activityTaskPollerBehavior: localPollers, workflowTaskPollerBehavior: localPollers } : {}),
    maxCachedWorkflows: cachedWorkflowsMax,
    reuseV8Context: true,
    // The SDK's word for workflows without a thread of their own. Ours is no stranger's code and decides in a millisecond,
    // so a second engine (33 MB) and a copy of every message to it and back (a tenth of the worker's time) buy nothing.
    debugMode: true,
    stickyQueueScheduleToStartTimeout: stickyTimeoutMs,
    maxHeartbeatThrottleInterval: heartbeatEveryMs,
    defaultHeartbeatThrottleInterval: heartbeatEveryMs,
  } satisfies Partial<WorkerOptions>;
}

export function connectionTuning(isLocal: boolean): NativeConnectionOptions {
  // Packing what goes over the loopback costs both sides a tenth of their time and saves nothing.
  return isLocal ? { grpcCompression: { codec: 'none' } } : {};
}
