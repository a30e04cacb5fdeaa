// What the binary and the Node process that hosts its Temporal side say to each other.
import type { EventSink } from '../controlplane/publisher.ts';
import type { ModelDelta, ModelOutcome, ModelRequest } from '../protocol/model.ts';
import type { LogFields, LogLevel } from '../telemetry/log.ts';
import type { WorkFact } from '../telemetry/meter.ts';
import type { McpCall, McpDiscovery, McpServers } from '../tools/mcp/servers.ts';
import type { ToolOutcome } from '../tools/tool.ts';
import type { Session, TemporalAddress } from '../worker/deps.ts';
import type { ExecutionEnd, WorkSnapshot } from '../worker/executions.ts';
import type { WorkerSlots } from '../worker/run.ts';
import type { TemporalHealth } from '../worker/temporal-watch.ts';
import { fromWire, toWire, type WireError } from './wire-error.ts';
import type { HostedStats, WorkerHost } from './worker-deps.ts';

/** In the environment of what the Node process starts, with its pid: for when it is killed and the binary is not. */
export const nodeMarkerName = 'KUBIYA_NODE_PROCESS';

type Arguments<Method> = Method extends (...values: infer Values) => unknown ? Values : never;
type Answer<Method> = Method extends (...values: never[]) => infer Result ? Awaited<Result> : never;

/** A method of the control plane's client, called with all its arguments; no caller in the worker gives it a signal. */
interface Call<Name extends keyof WorkerHost['controlPlane']> {
  readonly value: Arguments<WorkerHost['controlPlane'][Name]>;
  readonly answer: Answer<WorkerHost['controlPlane'][Name]>;
  readonly part: never;
}

/** A delivery of the publisher; its signal travels beside it. */
interface Delivery<Name extends keyof EventSink> {
  readonly value: { readonly executionId: string; readonly content: Parameters<EventSink[Name]>[1] };
  readonly answer: void;
  readonly part: never;
}

interface Question<Value, Result, Part = never> {
  readonly value: Value;
  readonly answer: Result;
  readonly part: Part;
}

type Word<Value> = Question<Value, void>;

/** What the Node process asks and tells the binary. */
export type HostVocabulary = {
  readonly getAgent: Call<'getAgent'>;
  readonly getTeam: Call<'getTeam'>;
  readonly listAgents: Call<'listAgents'>;
  readonly listSkills: Call<'listSkills'>;
  readonly createExecution: Call<'createExecution'>;
  readonly reportJobStatus: Call<'reportJobStatus'>;
  readonly listResolvedSkills: Call<'listResolvedSkills'>;
  readonly getResolvedEnvironment: Call<'getResolvedEnvironment'>;
  readonly getExecution: Call<'getExecution'>;
  readonly getModel: Call<'getModel'>;
  readonly getSession: Call<'getSession'>;
  readonly executeAgent: Call<'executeAgent'>;
  readonly executeTeam: Call<'executeTeam'>;
  readonly sendMessage: Call<'sendMessage'>;
  readonly cancelExecution: Call<'cancelExecution'>;
  readonly createApproval: Call<'createApproval'>;
  readonly getApproval: Call<'getApproval'>;
  readonly listKnownQueueWorkers: Call<'listKnownQueueWorkers'>;
  readonly listPresentQueueWorkers: Call<'listPresentQueueWorkers'>;
  readonly publishEvents: Delivery<'publishEvents'>;
  readonly updateExecution: Delivery<'updateExecution'>;
  readonly saveSession: Delivery<'saveSession'>;
  readonly complete: Question<ModelRequest, ModelOutcome, ModelDelta>;
  readonly defaultModel: Question<null, string>;
  readonly checkModel: Question<string, void>;
  /** MCP servers are children of the binary, whose connections know proxies and authorities. */
  readonly mcpDiscover: Question<Parameters<McpServers['discover']>[0], McpDiscovery>;
  readonly mcpCall: Question<McpCall, ToolOutcome, string>;
  readonly mcpRelease: Word<string>;
  readonly log: Word<WireLogEntry>;
  readonly fact: Word<WorkFact>;
  readonly secret: Word<string>;
  readonly groupStarted: Word<number>;
  readonly groupEnded: Word<number>;
  readonly snapshot: Word<NodeSnapshot>;
  /** The Temporal worker has ended; with an error it ended by a fault. */
  readonly ended: Word<WireError | null>;
};

/** What the binary asks and tells the Node process. */
export type NodeVocabulary = {
  /** Answered at once: it is our program that runs there. */
  readonly greet: Question<null, null>;
  readonly start: Question<NodeStart, NodeSnapshot>;
  readonly drain: Question<number, { readonly finished: number; readonly stopped: number }>;
  readonly close: Question<number, void>;
  readonly renew: Question<WireTemporal, void>;
  readonly cancel: Word<null>;
  readonly settle: Word<{ readonly executionId: string; readonly end: ExecutionEnd }>;
  readonly wake: Word<null>;
  readonly secret: Word<string>;
};

/** Everything that the Node process needs to know; the models' and the control plane's keys are not among it. */
export interface NodeStart {
  readonly session: WireSession;
  /** Absolute path of the SDK's native addon. */
  readonly addon: string;
  readonly journalDirectory: string;
  /** Where the record of process groups is kept. */
  readonly directory: string;
}

/** What the binary knows of the worker between two messages. */
export interface NodeSnapshot {
  readonly slots: WorkerSlots;
  readonly temporal: TemporalHealth;
  readonly work: WorkSnapshot;
  readonly stats: HostedStats;
}

export type WireTemporal = Omit<TemporalAddress, 'caCertificate'> & { readonly caCertificate?: string };
export type WireSession = Omit<Session, 'temporal' | 'signingKey'> & {
  readonly temporal: WireTemporal;
  readonly signingKey?: string;
};

export function sessionToWire({ temporal, signingKey, ...session }: Session): WireSession {
  return {
    ...session,
    temporal: temporalToWire(temporal),
    ...(signingKey === undefined ? {} : { signingKey: Buffer.from(signingKey).toString('base64') }),
  };
}

export function sessionFromWire({ temporal, signingKey, ...session }: WireSession): Session {
  return {
    ...session,
    temporal: temporalFromWire(temporal),
    ...(signingKey === undefined ? {} : { signingKey: Buffer.from(signingKey, 'base64') }),
  };
}

export function temporalToWire({ caCertificate, ...address }: TemporalAddress): WireTemporal {
  if (caCertificate === undefined) return address;
  return { ...address, caCertificate: Buffer.from(caCertificate).toString('base64') };
}

export function temporalFromWire({ caCertificate, ...address }: WireTemporal): TemporalAddress {
  return caCertificate === undefined ? address : { ...address, caCertificate: Buffer.from(caCertificate, 'base64') };
}

export interface WireLogEntry {
  readonly component: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
  /** The fields that are errors. */
  readonly errors: Readonly<Record<string, WireError>>;
}

export function entryToWire(entry: Omit<WireLogEntry, 'errors'>): WireLogEntry {
  const errors: Record<string, WireError> = {};
  for (const [name, value] of Object.entries(entry.fields)) if (value instanceof Error) errors[name] = toWire(value);
  return { ...entry, errors };
}

/** The fields with their errors. */
export function fieldsFromWire({ fields, errors }: WireLogEntry): LogFields {
  return { ...fields, ...Object.fromEntries(Object.entries(errors).map(([name, error]) => [name, fromWire(error)])) };
}
