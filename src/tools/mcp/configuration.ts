// From what an agent, its environments and its skill folders configure to servers that can be reached; secrets are in it from here on.
import { isAbsolute, resolve } from 'node:path';
import * as v from 'valibot';
import { mcpServerSchema, type McpOAuth, type McpServer } from '../../protocol/mcp.ts';
import { createTemplate, type Template, type TemplateValues } from './templates.ts';

/** Where a server is, with everything filled in. Plain data: it crosses to another process of ours, and goes nowhere else. */
export type McpTarget = {
  readonly name: string;
  readonly startTimeoutMs: number;
  readonly acceptsDefaults: boolean;
} & (
  | {
      readonly transport: 'stdio';
      readonly command: readonly string[];
      readonly environment: Readonly<Record<string, string>>;
      readonly cwd: string;
      /** It works in the directory of one execution and ends with it. */
      readonly isOfExecution: boolean;
    }
  | {
      /** `any`: streamable HTTP, and SSE where a server does not know that yet. */
      readonly transport: 'http' | 'sse' | 'any';
      readonly url: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly oauth: McpOAuth | undefined;
    }
);

export interface McpSettings {
  readonly name: string;
  readonly target: McpTarget;
  readonly server: McpServer;
}

/** A server that an agent has to do without. */
export interface McpProblem {
  readonly server: string;
  readonly message: string;
  readonly isRequired: boolean;
}

export interface McpConfiguration {
  readonly servers: readonly McpSettings[];
  readonly problems: readonly McpProblem[];
  /** What must not appear anywhere: for the redactor. */
  readonly secrets: readonly string[];
}

export interface McpPlace extends TemplateValues {
  /** What a server's process starts from: the allow-list without the execution's own variables. */
  readonly base: Readonly<Record<string, string>>;
  /** Absolute path. */
  readonly workspace: string;
}

/** More servers than this are a mistake: each is a process or a connection. */
const serversMax = 32;
/** It is part of the tools' names and of sentences. */
const serverNamePattern = /^\P{Cc}{1,100}$/u;
/** Headers, variables and parameters of an address whose values are secrets although nobody wrote a template. */
const secretNamePattern = /authorization|token|secret|password|passwd|^key$|api[-_]?key|cookie|credential/i;

export function readMcpServers(servers: Readonly<Record<string, unknown>>, place: McpPlace): McpConfiguration {
  const settings: McpSettings[] = [];
  const problems: McpProblem[] = [];
  const secrets = new Set<string>();
  for (const [index, [name, given]] of Object.entries(servers).entries()) {
    if (given === null) continue;
    const refuse = (message: string, isRequired = false): void =>
      void problems.push({ server: name, message: `MCP server ${name} is not available: ${message}`, isRequired });
    if (index >= serversMax) {
      refuse(`an agent can have ${serversMax} MCP servers`);
      continue;
    }
    const parsed = v.safeParse(mcpServerSchema, withoutNulls(given));
    if (!serverNamePattern.test(name) || !parsed.success) {
      const [issue] = parsed.issues ?? [];
      refuse(
        issue === undefined ? 'its name is not usable' : `${v.getDotPath(issue) ?? 'it'}: ${issue.message}`,
        asksForIt(given),
      );
      continue;
    }
    const server = parsed.output;
    if (!server.enabled) continue;
    const template = createTemplate(place);
    const target = targetOf(name, server, place, template);
    for (const secret of template.used) secrets.add(secret);
    if (typeof target === 'string') refuse(target, server.required);
    else if (template.missing.size > 0) {
      refuse(`${[...template.missing].join(', ')} is not set for this execution`, server.required);
    } else {
      for (const secret of secretsOf(target)) secrets.add(secret);
      settings.push({ name, target, server });
    }
  }
  return { servers: settings, problems, secrets: [...secrets] };
}

function targetOf(name: string, server: McpServer, place: McpPlace, { fill }: Template): McpTarget | string {
  const common = {
    name,
    startTimeoutMs: server.startup_timeout * 1000,
    acceptsDefaults: server.elicitation === 'defaults',
  };
  const transport = transportOf(server);
  if (transport === undefined)
    return `its transport ${server.transport ?? server.type ?? ''} is none of stdio, http, sse`;
  if (transport === 'stdio') {
    const command = fill(server.command ?? '');
    if (command === '') return 'it has no command';
    const cwd = fill(server.cwd ?? '.');
    return {
      ...common,
      transport,
      command: [command, ...(server.args ?? []).map(fill)],
      environment: { ...place.base, ...filled(server.env, fill) },
      cwd: resolve(place.workspace, cwd),
      isOfExecution: !isAbsolute(cwd),
    };
  }
  const url = fill(server.url ?? '');
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) return 'its url is not an http or https address';
  return {
    ...common,
    transport,
    url,
    headers: filled(server.headers, fill),
    oauth: server.oauth && filledOAuth(server.oauth, fill),
  };
}

function transportOf(server: McpServer): McpTarget['transport'] | undefined {
  switch ((server.transport ?? server.type ?? '').toLowerCase().replaceAll('_', '-')) {
    case '':
      return server.command === undefined ? 'any' : 'stdio';
    case 'stdio':
      return 'stdio';
    case 'http':
    case 'streamable-http':
      return 'http';
    case 'sse':
      return 'sse';
    default:
      return undefined;
  }
}

function filled(
  values: Readonly<Record<string, string | undefined>> | undefined,
  fill: (text: string) => string,
): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(values ?? {})) if (value !== undefined) result[name] = fill(value);
  return result;
}

function filledOAuth(oauth: McpOAuth, fill: (text: string) => string): McpOAuth {
  const texts = Object.entries(oauth).map(([name, value]) => [name, typeof value === 'string' ? fill(value) : value]);
  return Object.fromEntries(texts) as McpOAuth;
}

/** `Bearer abc` is not the secret, `abc` is. */
function secretsOf(target: McpTarget): string[] {
  const named =
    target.transport === 'stdio'
      ? target.environment
      : { ...target.headers, ...Object.fromEntries(new URL(target.url).searchParams) };
  const values = Object.entries(named)
    .filter(([name]) => secretNamePattern.test(name))
    .map(([, value]) => value);
  if (target.transport !== 'stdio') {
    const { client_secret, private_key, idp_client_secret, id_token } = target.oauth ?? {};
    for (const value of [client_secret, private_key, idp_client_secret, id_token]) values.push(value ?? '');
    values.push(new URL(target.url).password);
  }
  return values.map((value) => value.replace(/^(bearer|basic|token) +/i, '')).filter((value) => value !== '');
}

/** Forms send null for what is not set. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== null));
}

function asksForIt(given: unknown): boolean {
  return typeof given === 'object' && given !== null && 'required' in given && given.required === true;
}
