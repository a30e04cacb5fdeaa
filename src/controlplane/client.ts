// The client of the control plane API: one typed method per endpoint, for the cloud and for our own server.
import * as v from 'valibot';
import * as api from '../protocol/control-plane.ts';
import type { WireEvent } from '../protocol/events.ts';
import { createTransport, type CallOptions, type Method, type TransportOptions } from './transport.ts';

export type ControlPlaneClientOptions = TransportOptions;
/** Whose skills and environment are meant; the path of resolved things uses the plural. */
export type EntityKind = 'agents' | 'teams';

export interface ListExecutions {
  readonly skip?: number | undefined;
  readonly limit?: number | undefined;
  readonly status?: string | undefined;
  readonly agentId?: string | undefined;
}

/** The list routes of the cloud answer with 100 by default; more than this many of one kind is nobody's terminal. */
const listCountMax = 1000;
/** A process that stops has little time, and the server forgets a silent worker by itself. */
const disconnectTimeoutMs = 5_000;

/** One method per endpoint. Each rejects with a KubiyaError, or with the reason of a signal that was given. */
export type ControlPlaneClient = ReturnType<typeof createControlPlaneClient>;

export function createControlPlaneClient(options: ControlPlaneClientOptions) {
  const verbs = createVerbs(options);
  return {
    url: verbs.transport.url,
    ...environmentMethods(verbs),
    ...queueMethods(verbs),
    ...workerMethods(verbs),
    ...agentMethods(verbs),
    ...skillMethods(verbs),
    ...modelMethods(verbs),
    ...executionMethods(verbs),
    ...eventMethods(verbs),
    ...serverMethods(verbs),
  };
}

type Verbs = ReturnType<typeof createVerbs>;
type Query = Record<string, string | number | undefined>;

/** The few ways in which an endpoint is called. */
function createVerbs(options: ControlPlaneClientOptions) {
  const transport = createTransport(options);
  return {
    transport,
    get: <T>(path: string, response: v.GenericSchema<unknown, T>, query?: Query, call?: CallOptions) =>
      transport.request({ method: 'GET', path, response, query, call }),
    write: <T>(
      method: Method,
      path: string,
      body: unknown,
      response: v.GenericSchema<unknown, T>,
      call?: CallOptions,
    ) => transport.request({ method, path, body, response, call }),
    /** A write that does no harm when it arrives twice. */
    repeat: <T>(
      method: Method,
      path: string,
      body: unknown,
      response: v.GenericSchema<unknown, T>,
      call?: CallOptions,
    ) => transport.request({ method, path, body, response, isRepeatable: true, call }),
    /** Answered without a body worth reading. */
    command: (method: Method, path: string, body?: unknown, call?: CallOptions) =>
      transport.request<void>({ method, path, body, call }),
  };
}

const listed = { limit: listCountMax };

function environmentMethods({ get, write }: Verbs) {
  return {
    getHealth: (call?: CallOptions) => get('/api/health', api.healthSchema, undefined, call),
    listEnvironments: (call?: CallOptions) => get('/api/v1/environments', v.array(api.environmentSchema), listed, call),
    createEnvironment: (body: api.CreateEnvironment, call?: CallOptions) =>
      write('POST', '/api/v1/environments', body, api.environmentSchema, call),
  };
}

function queueMethods({ get, write, command }: Verbs) {
  return {
    listQueues: (call?: CallOptions) => get('/api/v1/worker-queues', v.array(api.queueSchema), undefined, call),
    listEnvironmentQueues: (environmentId: string, call?: CallOptions) =>
      get(`/api/v1/environments/${part(environmentId)}/worker-queues`, v.array(api.queueSchema), undefined, call),
    getQueue: (id: string, call?: CallOptions) => get(queuePath(id), api.queueSchema, undefined, call),
    createQueue: (environmentId: string, body: api.CreateQueue, call?: CallOptions) =>
      write('POST', `/api/v1/environments/${part(environmentId)}/worker-queues`, body, api.queueSchema, call),
    deleteQueue: (id: string, call?: CallOptions) => command('DELETE', queuePath(id), undefined, call),
    getQueueConfig: (id: string, call?: CallOptions) =>
      get(`${queuePath(id)}/config`, api.queueConfigSchema, undefined, call),
    listQueueWorkers: (id: string, call?: CallOptions) =>
      get(`${queuePath(id)}/workers`, v.array(api.workerSchema), undefined, call),
    /** Also those that are gone, of the last 24 hours; only our own server knows them. */
    listKnownQueueWorkers: (id: string, call?: CallOptions) =>
      get(`${queuePath(id)}/workers`, v.array(api.workerSchema), { include_gone: 'true' }, call),
  };
}

function workerMethods({ write, command }: Verbs) {
  return {
    /** Registers a worker. One attempt: the worker's start owns the retries and says each one. */
    startQueue: (id: string, body: api.WorkerStartRequest, call?: CallOptions) =>
      write('POST', `${queuePath(id)}/start`, body, api.workerStartResponseSchema, call),
    sendHeartbeat: (workerId: string, body: api.Heartbeat, call?: CallOptions) =>
      command('POST', `/api/v1/workers/${part(workerId)}/heartbeat`, body, call),
    disconnectWorker: (workerId: string, body: api.Disconnect, call?: CallOptions) =>
      command('POST', `/api/v1/workers/${part(workerId)}/disconnect`, body, {
        timeoutMs: disconnectTimeoutMs,
        ...call,
      }),
  };
}

function agentMethods({ get, write, transport }: Verbs) {
  return {
    listAgents: (call?: CallOptions) => get('/api/v1/agents', v.array(api.agentSchema), listed, call),
    getAgent: (id: string, call?: CallOptions) => get(`/api/v1/agents/${part(id)}`, api.agentSchema, undefined, call),
    createAgent: (body: api.CreateAgent, call?: CallOptions) =>
      write('POST', '/api/v1/agents', body, api.agentSchema, call),
    updateAgent: (id: string, body: api.UpdateAgent, call?: CallOptions) =>
      write('PATCH', `/api/v1/agents/${part(id)}`, body, api.agentSchema, call),
    /** With a key a lost answer is asked for again; without one a second request could be a second execution. */
    executeAgent: (id: string, body: api.ExecuteRequest, idempotencyKey?: string, call?: CallOptions) =>
      transport.request({
        method: 'POST',
        path: `/api/v1/agents/${part(id)}/execute`,
        body,
        headers: idempotencyKey === undefined ? undefined : { [api.idempotencyKeyHeader]: idempotencyKey },
        isRepeatable: idempotencyKey !== undefined,
        response: api.executeResponseSchema,
        call,
      }),
    getResolvedEnvironment: (kind: EntityKind, id: string, executionId: string, call?: CallOptions) =>
      get(
        `/api/v1/execution-environment/${kind}/${part(id)}/resolved/full`,
        api.resolvedEnvironmentSchema,
        { execution_id: executionId },
        call,
      ),
  };
}

function skillMethods({ get, write }: Verbs) {
  return {
    listSkills: (call?: CallOptions) => get('/api/v1/skills', v.array(api.skillSchema), listed, call),
    createSkill: (body: api.CreateSkill, call?: CallOptions) =>
      write('POST', '/api/v1/skills', body, api.skillSchema, call),
    listResolvedSkills: (kind: EntityKind, id: string, call?: CallOptions) =>
      get(
        `/api/v1/skills/associations/${kind}/${part(id)}/skills/resolved`,
        v.array(api.resolvedSkillResponseSchema),
        undefined,
        call,
      ),
  };
}

function modelMethods({ get, write }: Verbs) {
  return {
    listModels: (call?: CallOptions) => get('/api/v1/models', v.array(api.modelSchema), listed, call),
    getModel: (id: string, call?: CallOptions) =>
      get(`/api/v1/models/${modelPart(id)}`, api.modelSchema, undefined, call),
    createModel: (body: api.CreateModel, call?: CallOptions) =>
      write('POST', '/api/v1/models', body, api.modelSchema, call),
  };
}

function executionMethods({ get, repeat, command }: Verbs) {
  const control = (verb: 'pause' | 'resume' | 'cancel') => (id: string, call?: CallOptions) =>
    repeat('POST', `${executionPath(id)}/${verb}`, undefined, api.controlResponseSchema, call);
  return {
    listExecutions: (filter: ListExecutions = {}, call?: CallOptions) => {
      const { skip, limit, status, agentId } = filter;
      const query = { skip, limit, status_filter: status, agent_id: agentId };
      return get('/api/v1/executions', v.array(api.executionSchema), query, call);
    },
    getExecution: (id: string, call?: CallOptions) => get(executionPath(id), api.executionSchema, undefined, call),
    /** A report of the same facts changes nothing. */
    updateExecution: (id: string, body: api.UpdateExecution, call?: CallOptions) =>
      repeat('PATCH', executionPath(id), body, api.executionSchema, call),
    sendMessage: (id: string, body: api.SendMessage, call?: CallOptions) =>
      command('POST', `${executionPath(id)}/message`, body, call),
    markDone: (id: string, call?: CallOptions) => command('POST', `${executionPath(id)}/mark-done`, undefined, call),
    pauseExecution: control('pause'),
    resumeExecution: control('resume'),
    cancelExecution: control('cancel'),
    terminateExecution: (id: string, body: api.Terminate, call?: CallOptions) =>
      repeat('POST', `${executionPath(id)}/terminate`, body, api.controlResponseSchema, call),
    /** Ours only; another control plane answers 404. */
    inspectExecution: (id: string, call?: CallOptions) =>
      get(`${executionPath(id)}/inspect`, api.inspectionSchema, undefined, call),
    getSession: (id: string, call?: CallOptions) =>
      get(`${executionPath(id)}/session`, api.sessionSchema, undefined, call),
    /** The whole transcript each time. 201 also when `success` is false: read it. */
    saveSession: (id: string, body: api.SaveSession, call?: CallOptions) =>
      repeat('POST', `${executionPath(id)}/session`, body, api.saveSessionResponseSchema, call),
  };
}

function eventMethods({ command, repeat, transport }: Verbs) {
  return {
    /** The raw event stream; stream.ts reads it. */
    openStream: (executionId: string, lastEventId: string | undefined, signal?: AbortSignal) =>
      transport.open(`${executionPath(executionId)}/stream`, streamHeaders(lastEventId), signal),
    publishEvent: (id: string, event: api.PublishEvent, call?: CallOptions) =>
      command('POST', `${executionPath(id)}/events`, event, call),
    /** Ours only (`supports_event_batches`); events are deduplicated by id. */
    publishEvents: (id: string, events: readonly WireEvent[], call?: CallOptions) =>
      repeat('POST', `${executionPath(id)}/events/batch`, { events }, api.publishBatchResponseSchema, call),
  };
}

/** Of our own server alone. */
function serverMethods({ get, transport }: Verbs) {
  return {
    getServerStatus: (call?: CallOptions) => get('/api/v1/server', api.serverStatusSchema, undefined, call),
    /** A consistent copy of the control plane's database, as bytes. */
    openSnapshot: (call: CallOptions = {}) =>
      transport.open('/api/v1/server/snapshot', { accept: 'application/octet-stream' }, call.signal),
  };
}

const part = (id: string): string => encodeURIComponent(id);
/** Model ids hold slashes, which are part of the path (`/models/{id:path}`). */
const modelPart = (id: string): string => id.split('/').map(encodeURIComponent).join('/');
const queuePath = (id: string): string => `/api/v1/worker-queues/${part(id)}`;
const executionPath = (id: string): string => `/api/v1/executions/${part(id)}`;

function streamHeaders(lastEventId: string | undefined): Record<string, string> {
  const headers = { accept: 'text/event-stream', 'cache-control': 'no-cache' };
  return lastEventId === undefined ? headers : { ...headers, 'last-event-id': lastEventId };
}
