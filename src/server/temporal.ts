// The door to Temporal's client (with temporal-inspect.ts): starts, signals, cancels and describes executions, and translates its errors.
import {
  Client,
  Connection,
  isGrpcServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  type ConnectionOptions,
  type WorkflowExecutionDescription,
  type WorkflowHandle,
} from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import * as v from 'valibot';
import { messageOf } from '../errors.ts';
import { sleep } from '../lib/backoff.ts';
import { createPayloadSignatureCodec } from '../lib/payload-signature.ts';
import {
  agentWorkflowId,
  agentWorkflowType,
  dynamicWorkflowType,
  executionStatuses,
  teamWorkflowId,
  teamWorkflowType,
  workerIdentity,
  workflowOf,
  type ExecutionInput,
  type ExecutionStatus,
} from '../protocol/workflow.ts';
import { createSchedules, type Schedules } from './temporal-schedules.ts';
import { readDetails, troubleOf, type Decode, type TaskTrouble, type WorkflowDetails } from './temporal-inspect.ts';

export interface TemporalTarget {
  /** `host:port`. */
  readonly address: string;
  readonly namespace: string;
  readonly apiKey?: string | undefined;
  /** True, or PEM texts; an API key alone implies TLS. */
  readonly tls?: boolean | TemporalTls | undefined;
  /** An HTTP CONNECT proxy, `host:port`. */
  readonly proxy?: { readonly address: string; readonly user?: string; readonly password?: string } | undefined;
  /** A dev server on this machine: short workflow-task timeout. */
  readonly isLocal: boolean;
}

export interface TemporalTls {
  readonly serverRootCa?: string | undefined;
  readonly serverName?: string | undefined;
  readonly clientCertificate?: string | undefined;
  readonly clientKey?: string | undefined;
}

/**
 * `unavailable`: nobody answered in time, so the same call may succeed later. `not_found`: there is no such open workflow.
 * `refused`: Temporal answered no (credentials, namespace, size), and will again.
 */
export type TemporalErrorKind = 'unavailable' | 'not_found' | 'refused';

/** A failure of Temporal that callers handle; the message is one sentence. */
export class TemporalError extends Error {
  override readonly name = 'TemporalError';
  readonly kind: TemporalErrorKind;

  constructor(kind: TemporalErrorKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/** What Temporal knows of an execution's workflow. */
export type WorkflowState =
  | {
      readonly kind: 'open';
      /** Its workflow task fails on every worker that takes it. */
      readonly trouble?: TaskTrouble | undefined;
    }
  | { readonly kind: 'missing' }
  | {
      readonly kind: 'closed';
      readonly status: ExecutionStatus;
      readonly response?: string | undefined;
      readonly error?: string | undefined;
      readonly usage?: Record<string, unknown> | undefined;
    };

export interface OpenWorkflow {
  readonly workflowId: string;
  readonly executionId: string;
}

/** Every method rejects with a TemporalError and nothing else. */
export interface Temporal {
  /** Starting an execution twice is the same as once, also after it has ended. */
  start(input: ExecutionInput, taskQueue: string): Promise<void>;
  signal(workflowId: string, name: string, payload: unknown): Promise<void>;
  cancel(workflowId: string): Promise<void>;
  terminate(workflowId: string, reason: string): Promise<void>;
  describe(workflowId: string): Promise<WorkflowState>;
  readonly schedules: Schedules;
  /** Of an open or closed workflow, `not_found` when there is none. */
  inspect(workflowId: string, taskQueue: string): Promise<WorkflowDetails>;
  /** Executions whose workflow is open and began before `startedBefore`, at most `limit`. */
  openBefore(startedBefore: Date, limit: number): Promise<readonly OpenWorkflow[]>;
  /**
   * Ends the attempts of these dead workers, so that the next ones come at once, and lets any worker have the next task. The
   * signal ends it where it stands.
   */
  release(workflowId: string, workerIds: readonly string[], signal: AbortSignal): Promise<void>;
  /** Calls that are under way reject with `unavailable`. */
  close(): Promise<void>;
}

/** A Temporal that answers slowly is waited for: 200 starts at once took 2 s on two busy cores. */
const callTimeoutMs = 10_000;
/** One that does not answer is tried again this long: a restart of the dev server takes 0.2–0.4 s. */
const retryWindowMs = 4_000;
/** Between two attempts of one call; a refused connection is known at once. */
const retryIntervalMs = 200;
/** A worker killed while it holds a workflow task costs this; the default of 10 s does too. */
const localWorkflowTaskTimeout = '3s';
/** grpc-js would back off up to 2 minutes, and a server that is back must be noticed within a second. */
const reconnectBackoffMsMax = 1_000;

/** Does not connect: the first call does, and every later one when the connection was lost. */
export function createTemporal(target: TemporalTarget, signingKey: Uint8Array): Temporal {
  const connection = Connection.lazy(connectionOptions(target));
  const codec = createPayloadSignatureCodec(signingKey);
  const client = new Client({ connection, namespace: target.namespace, dataConverter: { payloadCodecs: [codec] } });
  const decode: Decode = async (payload) => {
    const [decoded] = await codec.decode([payload]);
    return decoded === undefined ? null : defaultPayloadConverter.fromPayload(decoded);
  };
  const closing = new AbortController();
  const callOnce = async <T>(run: () => Promise<T>): Promise<T> => {
    try {
      return await connection.withDeadline(Date.now() + callTimeoutMs, run);
    } catch (error) {
      // A call that our own end cut off must not look like an answer of Temporal.
      if (closing.signal.aborted) throw new TemporalError('unavailable', 'The server is stopping', error);
      throw translate(error, target);
    }
  };
  const call = async <T>(run: () => Promise<T>): Promise<T> => {
    const retryUntil = Date.now() + retryWindowMs;
    for (;;) {
      try {
        return await callOnce(run);
      } catch (error) {
        const isPassing = error instanceof TemporalError && error.kind === 'unavailable';
        if (closing.signal.aborted || !isPassing || Date.now() > retryUntil) throw error;
      }
      await sleep(retryIntervalMs, closing.signal).catch(() => undefined);
    }
  };
  const handleOf = (workflowId: string): WorkflowHandle => client.workflow.getHandle(workflowId);
  return {
    start: (input, taskQueue) =>
      call(async () => {
        const { type, id } = workflowOf(input);
        try {
          await client.workflow.start(type, {
            workflowId: id,
            workflowIdReusePolicy: 'REJECT_DUPLICATE',
            taskQueue,
            args: [input],
            ...(target.isLocal ? { workflowTaskTimeout: localWorkflowTaskTimeout } : {}),
          });
        } catch (error) {
          if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        }
      }),
    signal: (workflowId, name, payload) => call(() => handleOf(workflowId).signal(name, payload)),
    cancel: (workflowId) => call(async () => void (await handleOf(workflowId).cancel())),
    terminate: (workflowId, reason) => call(async () => void (await handleOf(workflowId).terminate(reason))),
    describe: (workflowId) => call(() => describe(client, workflowId)),
    schedules: createSchedules(client, {
      call: callOnce,
      workflowTaskTimeout: target.isLocal ? localWorkflowTaskTimeout : undefined,
    }),
    inspect: (workflowId, taskQueue) => call(() => readDetails(client, decode, { workflowId, taskQueue })),
    openBefore: (startedBefore, limit) => call(() => openBefore(client, startedBefore, limit)),
    release: (workflowId, workerIds, signal) =>
      call(() => release(client, workflowId, workerIds.map(workerIdentity), signal)),
    close: () => {
      closing.abort();
      return connection.close();
    },
  };
}

async function release(
  client: Client,
  workflowId: string,
  identities: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { workflowService, options } = client;
  const { namespace } = options;
  const execution = { workflowId };
  signal.throwIfAborted();
  const { pendingActivities, pendingChildren } = await workflowService.describeWorkflowExecution({
    namespace,
    execution,
  });
  // The members of a team. One that has just ended must not keep the others waiting.
  for (const child of pendingChildren) {
    await release(client, child.workflowId ?? '', identities, signal).catch(ignoreEnded);
  }
  for (const { activityId, state, lastWorkerIdentity } of pendingActivities) {
    const isRunning = state === temporal.api.enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_STARTED;
    if (!isRunning || !identities.includes(lastWorkerIdentity ?? '')) continue;
    // By then another worker may have the next attempt, which an answer by id would hit as well.
    signal.throwIfAborted();
    const failure = {
      message: 'The worker of this attempt vanished',
      applicationFailureInfo: { nextRetryDelay: soon },
    };
    await workflowService.respondActivityTaskFailedById({
      namespace,
      workflowId,
      activityId: activityId ?? '',
      failure,
    });
  }
  // The dead worker has a queue of its own that the next task would wait in.
  await workflowService.resetStickyTaskQueue({ namespace, execution });
}

function ignoreEnded(error: unknown): void {
  if (!isGrpcServiceError(error) || !endedCodes.has(error.code)) throw error;
}

/** NOT_FOUND. */
const endedCodes: ReadonlySet<number> = new Set([5]);

/** A delay of zero would mean the policy's own. */
const soon = { nanos: 1_000_000 };

/** Resolves when the namespace answers; rejects otherwise. Tried again by `startDevServer` until it does. */
export async function probeTemporal(target: TemporalTarget): Promise<void> {
  const connection = Connection.lazy(connectionOptions(target));
  try {
    await connection.withDeadline(Date.now() + callTimeoutMs, () =>
      connection.workflowService.describeNamespace({ namespace: target.namespace }),
    );
  } catch (error) {
    throw translate(error, target);
  } finally {
    await connection.close();
  }
}

function connectionOptions(target: TemporalTarget): ConnectionOptions {
  const { address, apiKey, proxy } = target;
  return {
    address: proxy?.address ?? address,
    tls: tlsOptions(target.tls ?? (apiKey !== undefined && apiKey !== '')),
    ...(apiKey === undefined || apiKey === '' ? {} : { apiKey }),
    // Our own retry can be stopped; the SDK's throws into the void when the connection is closed meanwhile.
    interceptors: [],
    channelArgs: {
      ...proxyArguments(target),
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': reconnectBackoffMsMax,
      // A channel of its own: grpc-js shares the backoff of a failed address between connections.
      'grpc.use_local_subchannel_pool': 1,
    },
  };
}

/** What grpc-js makes of `https_proxy` by itself, but with our reading of the variables, and none of its own for a loopback server. */
function proxyArguments({ address, proxy }: TemporalTarget): Record<string, string | number> {
  const own = { 'grpc.enable_http_proxy': 0 };
  if (proxy === undefined) return own;
  return {
    ...own,
    'grpc.http_connect_target': `dns:${address}`,
    'grpc.default_authority': address,
    ...(proxy.user === undefined ? {} : { 'grpc.http_connect_creds': `${proxy.user}:${proxy.password ?? ''}` }),
  };
}

function tlsOptions(tls: boolean | TemporalTls): NonNullable<ConnectionOptions['tls']> {
  if (typeof tls === 'boolean') return tls;
  const { serverName, serverRootCa, clientCertificate, clientKey } = tls;
  return {
    ...(serverName === undefined ? {} : { serverNameOverride: serverName }),
    ...(serverRootCa === undefined ? {} : { serverRootCACertificate: Buffer.from(serverRootCa) }),
    ...(clientCertificate === undefined || clientKey === undefined
      ? {}
      : { clientCertPair: { crt: Buffer.from(clientCertificate), key: Buffer.from(clientKey) } }),
  };
}

const resultSchema = v.object({
  status: v.picklist(executionStatuses),
  response: v.nullish(v.string()),
  error: v.nullish(v.string()),
  usage: v.nullish(v.record(v.string(), v.unknown())),
});

/** Visibility is written a moment after the fact; who asks looks each of them up again. */
async function openBefore(client: Client, startedBefore: Date, limit: number): Promise<readonly OpenWorkflow[]> {
  const types = [agentWorkflowType, teamWorkflowType, dynamicWorkflowType].map((type) => `'${type}'`).join(', ');
  const query = `ExecutionStatus = 'Running' AND WorkflowType IN (${types}) AND StartTime < '${startedBefore.toISOString()}'`;
  const { executions } = await client.workflowService.listWorkflowExecutions({
    namespace: client.options.namespace,
    pageSize: limit,
    query,
  });
  return executions.flatMap(({ execution }) => {
    const workflowId = execution?.workflowId ?? '';
    const prefix = [agentWorkflowId(''), teamWorkflowId('')].find((one) => workflowId.startsWith(one));
    // A member's part ends with its team's execution.
    if (prefix === undefined || workflowId.includes('/')) return [];
    return [{ workflowId, executionId: workflowId.slice(prefix.length) }];
  });
}

async function describe(client: Client, workflowId: string): Promise<WorkflowState> {
  const handle = client.workflow.getHandle(workflowId);
  let description: WorkflowExecutionDescription;
  try {
    description = await handle.describe();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { kind: 'missing' };
    throw error;
  }
  switch (description.status.name) {
    case 'COMPLETED': {
      const result = v.safeParse(resultSchema, await handle.result());
      if (!result.success) return { kind: 'closed', status: 'completed' };
      const { status: outcome, response, error, usage } = result.output;
      return {
        kind: 'closed',
        status: outcome,
        response: response ?? undefined,
        error: error ?? undefined,
        usage: usage ?? undefined,
      };
    }
    case 'FAILED':
      return { kind: 'closed', status: 'failed', error: await failureOf(handle) };
    case 'CANCELLED':
      return { kind: 'closed', status: 'cancelled' };
    case 'TERMINATED':
      return { kind: 'closed', status: 'terminated', error: 'The workflow was terminated' };
    case 'TIMED_OUT':
      return { kind: 'closed', status: 'failed', error: 'The workflow ran out of time' };
    default: {
      const trouble = await troubleOf(client, workflowId, description.raw);
      return { kind: 'open', ...(trouble === null ? {} : { trouble }) };
    }
  }
}

async function failureOf(handle: WorkflowHandle): Promise<string> {
  try {
    await handle.result();
  } catch (error) {
    if (error instanceof WorkflowFailedError) return `The workflow failed: ${messageOf(error.cause)}`;
    throw error;
  }
  return 'The workflow failed';
}

/** gRPC status codes that mean "nobody answered"; CANCELLED and UNKNOWN come from a connection that was cut. */
const unavailableCodes: ReadonlySet<number> = new Set([1, 2, 4, 8, 14]);

function translate(error: unknown, target: TemporalTarget): TemporalError {
  if (error instanceof WorkflowNotFoundError) return new TemporalError('not_found', 'The workflow is not open', error);
  const cause = error instanceof Error && isGrpcServiceError(error.cause) ? error.cause : error;
  if (!isGrpcServiceError(cause)) {
    return new TemporalError('refused', `Temporal at ${target.address} refused: ${messageOf(error)}`, error);
  }
  return unavailableCodes.has(cause.code)
    ? new TemporalError('unavailable', `Temporal at ${target.address} does not answer`, error)
    : new TemporalError('refused', `Temporal at ${target.address} refused: ${cause.details}`, error);
}
