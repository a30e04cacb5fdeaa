// A supervised worker's line to its supervisor: it says what becomes of it, so that neither a full disk nor a lost file hides it.
import { KubiyaError, messageOf } from '../errors.ts';
import type { SupervisedBy, WorkerMessage } from '../protocol/instance.ts';
import { directIfLoopback } from '../lib/loopback.ts';

export interface SupervisorLink {
  /** Resolves when it was told or cannot be. Never rejects. */
  tell(message: WorkerMessage): Promise<void>;
}

/** The supervisor does nothing but listen; one that needs longer is frozen, and the worker must not wait for it. */
const tellTimeoutMs = 2_000;

/** A link for a worker without a supervisor tells nobody. */
export function createSupervisorLink(supervisedBy: SupervisedBy | undefined): SupervisorLink {
  if (supervisedBy === undefined) return { tell: () => Promise.resolve() };
  const { port, token } = supervisedBy.control;
  const url = `http://127.0.0.1:${port}/v1/worker`;
  return {
    tell: async (message) => {
      try {
        await fetch(url, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify(message),
          signal: AbortSignal.timeout(tellTimeoutMs),
          ...directIfLoopback(url),
        });
      } catch {
        // It is frozen or gone: whoever looks after the supervisor notices that by other means.
      }
    },
  };
}

interface LastWords {
  readonly code: number;
  readonly reason: string;
  readonly isRetryable: boolean;
  readonly hint?: string | undefined;
}

export function lastWords({ code, reason, isRetryable, hint }: LastWords): WorkerMessage {
  return {
    type: 'ending',
    pid: process.pid,
    exit_code: code,
    reason,
    hint: hint ?? null,
    is_retryable: isRetryable,
  };
}

/** What is wrong with the configuration or the credentials stays wrong; a full disk or a silent server may pass, and so may a bug. */
export function failedStart(error: unknown): WorkerMessage {
  if (!(error instanceof KubiyaError)) return lastWords({ code: 70, reason: messageOf(error), isRetryable: true });
  const isForGood = ['usage', 'authentication', 'api_refused', 'configuration'].includes(error.kind);
  const isRetryable = !isForGood || error.isRetryable || error.code === 'directory_unusable';
  return lastWords({ code: error.exitCode, reason: error.message, hint: error.hint, isRetryable });
}
