// What a worker knows about itself, gathered as it comes to life; answers of its control port, probes and metrics are made of it.
import type { LiveStatus, Reachability } from '../protocol/instance.ts';
import { version } from '../version.ts';

/** The part that only a registered worker knows. */
export interface SessionHealth {
  readonly workerId: string;
  readonly controlPlane: Reachability;
  readonly temporal: Reachability;
  readonly heartbeatAgeMs: number | null;
  readonly pollAgeMs: number | null;
  readonly slots: { readonly used: number; readonly max: number };
  readonly executions: readonly string[];
  /** Resident memory of a process beside this one that does a part of its work. */
  readonly otherRssBytes?: number;
  /** Why it should get no work now; null when it may. */
  readonly notReadyReason: string | null;
  /** Which of its loops has stopped; null when all live. No outage is a reason. */
  readonly notLiveReason: string | null;
}

export interface WorkerView {
  readonly state: LiveStatus['state'];
  setState(state: LiveStatus['state']): void;
  setQueueId(id: string): void;
  /** From registration on. Must not throw. */
  attach(health: () => SessionHealth): void;
  /** Something a person should know, one sentence; a key replaces the sentence said before, undefined takes it back. */
  warn(key: string, sentence: string | undefined): void;
  snapshot(): LiveStatus;
  /** Why this process should be ended and started again; null when it works. While it starts and drains its loops come and go. */
  notLiveReason(): string | null;
}

export function createWorkerView({ instanceId, queue }: { instanceId: string; queue: string }): WorkerView {
  let state: LiveStatus['state'] = 'starting';
  let stateSince = new Date().toISOString();
  let queueId = '';
  let health: (() => SessionHealth) | undefined;
  const warnings = new Map<string, string>();
  return {
    get state() {
      return state;
    },
    setState: (next) => {
      if (next === state) return;
      state = next;
      stateSince = new Date().toISOString();
    },
    setQueueId: (id) => (queueId = id),
    attach: (source) => (health = source),
    warn: (key, sentence) => {
      if (sentence === undefined) warnings.delete(key);
      else warnings.set(key, sentence);
    },
    notLiveReason: () => (state === 'running' ? (health?.().notLiveReason ?? null) : null),
    snapshot: () => {
      const seen = health?.();
      return {
        instance_id: instanceId,
        pid: process.pid,
        version,
        state,
        state_since: stateSince,
        queue,
        queue_id: queueId,
        worker_id: seen?.workerId ?? null,
        control_plane: seen?.controlPlane ?? null,
        temporal: seen?.temporal ?? null,
        heartbeat_age_ms: rounded(seen?.heartbeatAgeMs),
        poll_age_ms: rounded(seen?.pollAgeMs),
        slots: seen?.slots ?? { used: 0, max: 0 },
        executions: [...(seen?.executions ?? [])],
        rss_bytes: process.memoryUsage.rss() + (seen?.otherRssBytes ?? 0),
        warnings: [...warnings.values()],
        not_ready_reason: state === 'running' ? (seen?.notReadyReason ?? null) : `the worker is ${state}`,
      };
    },
  };
}

function rounded(ms: number | null | undefined): number | null {
  return ms === null || ms === undefined ? null : Math.max(0, Math.round(ms));
}
