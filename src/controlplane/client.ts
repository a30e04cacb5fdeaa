// The client of the control plane API: one typed method per endpoint, for the cloud and for our own server.
import * as v from 'valibot';
import * as analytics from '../protocol/analytics.ts';
import * as approvals from '../protocol/approvals.ts';
import * as api from '../protocol/control-plane.ts';
import * as planner from '../protocol/planner.ts';
import * as dynamic from '../protocol/dynamic.ts';
import * as jobs from '../protocol/jobs.ts';
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
  readonly teamId?: string | undefined;
  /** `agent` or `team`. */
  readonly type?: string | undefined;
  readonly queueId?: string | undefined;
}

export interface ListApprovals {
  readonly executionId?: string | undefined;
  readonly status?: approvals.ApprovalStatus | undefined;
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
    ...teamMethods(verbs),
    ...approvalMethods(verbs),
    ...analyticsMethods(verbs),
    ...dynamicMethods(verbs),
    ...jobMethods(verbs),
    ...plannerMethods(verbs),
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
    /** The same, and it does no harm when it arrives twice. */
    repeatCommand: (method: Method, path: string, body?: unknown, call?: CallOptions) =>
      transport.request<void>({ method, path, body, isRepeatable: true, call }),
  };
}

const listed = { limit: listCountMax };

function environmentMethods({ get, write, command }: Verbs) {
  return {
    getHealth: (call?: CallOptions) => get('/api/health', api.healthSchema, undefined, call),
    listEnvironments: (call?: CallOptions) => get('/api/v1/environments', v.array(api.environmentSchema), listed, call),
    createEnvironment: (body: api.CreateEnvironment, call?: CallOptions) =>
      write('POST', '/api/v1/environments', body, api.environmentSchema, call),
    updateEnvironment: (id: string, body: api.UpdateEnvironment, call?: CallOptions) =>
      write('PATCH', `/api/v1/environments/${part(id)}`, body, api.environmentSchema, call),
    deleteEnvironment: (id: string, call?: CallOptions) =>
      command('DELETE', `/api/v1/environments/${part(id)}`, undefined, call),
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
    updateQueue: (id: string, body: api.UpdateQueue, call?: CallOptions) =>
      write('PATCH', queuePath(id), body, api.queueSchema, call),
    deleteQueue: (id: string, call?: CallOptions) => command('DELETE', queuePath(id), undefined, call),
    getQueueConfig: (id: string, call?: CallOptions) =>
      get(`${queuePath(id)}/config`, api.queueConfigSchema, undefined, call),
    listQueueWorkers: (id: string, call?: CallOptions) =>
      get(`${queuePath(id)}/workers`, v.array(api.workerSchema), undefined, call),
    /** The live ones, and those that have registered and are about to poll (our server only; the cloud lists the live ones). */
    listPresentQueueWorkers: (id: string, call?: CallOptions) =>
      get(`${queuePath(id)}/workers`, v.array(api.workerSchema), { include_starting: 'true' }, call),
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

function agentMethods({ get, write, command, transport }: Verbs) {
  return {
    listAgents: (call?: CallOptions) => get('/api/v1/agents', v.array(api.agentSchema), listed, call),
    getAgent: (id: string, call?: CallOptions) => get(`/api/v1/agents/${part(id)}`, api.agentSchema, undefined, call),
    createAgent: (body: api.CreateAgent, call?: CallOptions) =>
      write('POST', '/api/v1/agents', body, api.agentSchema, call),
    updateAgent: (id: string, body: api.UpdateAgent, call?: CallOptions) =>
      write('PATCH', `/api/v1/agents/${part(id)}`, body, api.agentSchema, call),
    deleteAgent: (id: string, call?: CallOptions) => command('DELETE', `/api/v1/agents/${part(id)}`, undefined, call),
    executeAgent: executeMethod(transport, 'agents'),
    getResolvedEnvironment: (kind: EntityKind, id: string, executionId: string, call?: CallOptions) =>
      get(
        `/api/v1/execution-environment/${kind}/${part(id)}/resolved/full`,
        api.resolvedEnvironmentSchema,
        { execution_id: executionId },
        call,
      ),
  };
}

/** With a key a lost answer is asked for again; without one a second request could be a second execution. */
function executeMethod(transport: Verbs['transport'], kind: EntityKind) {
  return (id: string, body: api.ExecuteRequest, idempotencyKey?: string, call?: CallOptions) =>
    transport.request({
      method: 'POST',
      path: `/api/v1/${kind}/${part(id)}/execute`,
      body,
      headers: idempotencyKey === undefined ? undefined : { [api.idempotencyKeyHeader]: idempotencyKey },
      isRepeatable: idempotencyKey !== undefined,
      response: api.executeResponseSchema,
      call,
    });
}

function teamMethods({ get, write, command, transport }: Verbs) {
  const path = (id: string): string => `/api/v1/teams/${part(id)}`;
  return {
    listTeams: (call?: CallOptions) => get('/api/v1/teams', v.array(api.teamSchema), listed, call),
    getTeam: (id: string, call?: CallOptions) => get(path(id), api.teamSchema, undefined, call),
    createTeam: (body: api.CreateTeam, call?: CallOptions) =>
      write('POST', '/api/v1/teams', body, api.teamSchema, call),
    updateTeam: (id: string, body: api.UpdateTeam, call?: CallOptions) =>
      write('PATCH', path(id), body, api.teamSchema, call),
    deleteTeam: (id: string, call?: CallOptions) => command('DELETE', path(id), undefined, call),
    addTeamMember: (id: string, agentId: string, call?: CallOptions) =>
      write('POST', `${path(id)}/agents/${part(agentId)}`, undefined, api.teamSchema, call),
    removeTeamMember: (id: string, agentId: string, call?: CallOptions) =>
      command('DELETE', `${path(id)}/agents/${part(agentId)}`, undefined, call),
    executeTeam: executeMethod(transport, 'teams'),
  };
}

function approvalMethods({ get, repeat }: Verbs) {
  const path = (id: string): string => `/api/v1/approvals/${part(id)}`;
  const settle = (verb: 'approve' | 'reject') => (id: string, body: approvals.SettleApproval, call?: CallOptions) =>
    repeat('POST', `${path(id)}/${verb}`, body, approvals.approvalSchema, call);
  return {
    /** Repeatable by its `call_id`, which should be given. */
    createApproval: (body: approvals.CreateApproval, call?: CallOptions) =>
      repeat('POST', '/api/v1/approvals', body, approvals.approvalSchema, call),
    getApproval: (id: string, call?: CallOptions) => get(path(id), approvals.approvalSchema, undefined, call),
    /** Newest first. Ours only, as the verdicts are; the cloud settles approvals in its own pages. */
    listApprovals: ({ executionId, status }: ListApprovals = {}, call?: CallOptions) =>
      get('/api/v1/approvals', v.array(approvals.approvalSchema), { execution_id: executionId, status }, call),
    approve: settle('approve'),
    reject: settle('reject'),
  };
}

function analyticsMethods({ get, repeat }: Verbs) {
  return {
    /** Repeatable: records are deduplicated by their ids. */
    publishAnalytics: (body: analytics.AnalyticsBatch, call?: CallOptions) =>
      repeat('POST', '/api/v1/analytics/batch', body, analytics.analyticsBatchResponseSchema, call),
    getAnalyticsSummary: (executionId: string, call?: CallOptions) =>
      get('/api/v1/analytics/summary', analytics.analyticsSummarySchema, { execution_id: executionId }, call),
  };
}

function dynamicMethods({ write }: Verbs) {
  return {
    executeDynamic: (body: dynamic.DynamicExecute, call?: CallOptions) =>
      write('POST', '/api/v1/dynamic-executions/execute', body, dynamic.dynamicExecuteResponseSchema, call),
  };
}

/** A language model may think for minutes before it answers. */
const planTimeoutMs = 180_000;

function plannerMethods({ get, write, transport }: Verbs) {
  return {
    makePlan: (body: planner.PlanRequestInput, call?: CallOptions) =>
      write('POST', '/api/v1/tasks/plan', body, planner.planResponseSchema, { timeoutMs: planTimeoutMs, ...call }),
    /** The raw event stream; planning.ts reads it. */
    openPlanStream: (body: planner.PlanRequestInput, signal?: AbortSignal) =>
      transport.open('/api/v1/tasks/plan/stream', streamHeaders(undefined), signal, body),
    getPlan: (id: string, call?: CallOptions) =>
      get(`/api/v1/tasks/plan/${part(id)}`, planner.planResponseSchema, undefined, call),
    getPlannerHealth: (call?: CallOptions) =>
      get('/api/v1/tasks/plan/health', planner.plannerHealthSchema, undefined, call),
  };
}

function jobMethods({ get, write, repeat, command, transport }: Verbs) {
  const path = (id: string): string => `/api/v1/jobs/${part(id)}`;
  return {
    listJobs: (call?: CallOptions) => get('/api/v1/jobs', v.array(jobs.jobSchema), undefined, call),
    getJob: (id: string, call?: CallOptions) => get(path(id), jobs.jobSchema, undefined, call),
    createJob: (body: jobs.CreateJob, call?: CallOptions) => write('POST', '/api/v1/jobs', body, jobs.jobSchema, call),
    updateJob: (id: string, body: jobs.UpdateJob, call?: CallOptions) =>
      write('PATCH', path(id), body, jobs.jobSchema, call),
    deleteJob: (id: string, call?: CallOptions) => command('DELETE', path(id), undefined, call),
    enableJob: (id: string, call?: CallOptions) =>
      repeat('POST', `${path(id)}/enable`, undefined, jobs.jobSchema, call),
    disableJob: (id: string, call?: CallOptions) =>
      repeat('POST', `${path(id)}/disable`, undefined, jobs.jobSchema, call),
    /** Ours only. */
    rotateJobSecret: (id: string, call?: CallOptions) =>
      write('POST', `${path(id)}/rotate-secret`, undefined, jobs.jobSchema, call),
    /** With a key a lost answer is asked for again. */
    triggerJob: (id: string, body: jobs.TriggerJob, idempotencyKey?: string, call?: CallOptions) =>
      transport.request({
        method: 'POST',
        path: `${path(id)}/trigger`,
        body,
        headers: idempotencyKey === undefined ? undefined : { [api.idempotencyKeyHeader]: idempotencyKey },
        isRepeatable: idempotencyKey !== undefined,
        response: jobs.jobRunSchema,
        call,
      }),
    listJobExecutions: (id: string, page: { limit: number }, call?: CallOptions) =>
      get(`${path(id)}/executions`, v.array(jobs.jobExecutionSchema), { limit: page.limit }, call),
  };
}

function skillMethods({ get, write, command }: Verbs) {
  return {
    listSkills: (call?: CallOptions) => get('/api/v1/skills', v.array(api.skillSchema), listed, call),
    createSkill: (body: api.CreateSkill, call?: CallOptions) =>
      write('POST', '/api/v1/skills', body, api.skillSchema, call),
    updateSkill: (id: string, body: api.UpdateSkill, call?: CallOptions) =>
      write('PATCH', `/api/v1/skills/${part(id)}`, body, api.skillSchema, call),
    deleteSkill: (id: string, call?: CallOptions) => command('DELETE', `/api/v1/skills/${part(id)}`, undefined, call),
    listResolvedSkills: (kind: EntityKind, id: string, call?: CallOptions) =>
      get(
        `/api/v1/skills/associations/${kind}/${part(id)}/skills/resolved`,
        v.array(api.resolvedSkillResponseSchema),
        undefined,
        call,
      ),
  };
}

function modelMethods({ get, write, command }: Verbs) {
  return {
    listModels: (call?: CallOptions) => get('/api/v1/models', v.array(api.modelSchema), listed, call),
    getModel: (id: string, call?: CallOptions) =>
      get(`/api/v1/models/${modelPart(id)}`, api.modelSchema, undefined, call),
    createModel: (body: api.CreateModel, call?: CallOptions) =>
      write('POST', '/api/v1/models', body, api.modelSchema, call),
    updateModel: (id: string, body: api.UpdateModel, call?: CallOptions) =>
      write('PATCH', `/api/v1/models/${modelPart(id)}`, body, api.modelSchema, call),
    deleteModel: (id: string, call?: CallOptions) =>
      command('DELETE', `/api/v1/models/${modelPart(id)}`, undefined, call),
  };
}

function executionMethods({ get, repeat, command, repeatCommand }: Verbs) {
  const control = (verb: 'pause' | 'resume' | 'cancel') => (id: string, call?: CallOptions) =>
    repeat('POST', `${executionPath(id)}/${verb}`, undefined, api.controlResponseSchema, call);
  return {
    listExecutions: (filter: ListExecutions = {}, call?: CallOptions) => {
      const { skip, limit, status, agentId, teamId, type, queueId } = filter;
      const entity = { agent_id: agentId, team_id: teamId, execution_type: type, worker_queue_id: queueId };
      const query = { skip, limit, status_filter: status, ...entity };
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
    terminateExecutions: (body: api.BatchTerminate, call?: CallOptions) =>
      repeat('POST', '/api/v1/executions/batch/terminate', body, api.batchTerminateResponseSchema, call),
    /** The record of an execution whose workflow runs already; one that is there stays as it is. */
    createExecution: (body: jobs.CreateExecution, call?: CallOptions) =>
      repeatCommand('POST', '/api/v1/executions/create', body, call),
    reportJobStatus: (id: string, jobId: string, body: jobs.JobStatus, call?: CallOptions) =>
      repeatCommand('POST', `${executionPath(id)}/job/${part(jobId)}/status`, body, call),
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
