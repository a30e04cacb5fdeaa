// The MCP servers of an execution in this worker: where they are, and in `prepare` what they offer.
import * as v from 'valibot';
import { KubiyaError } from '../../errors.ts';
import type { ResolvedEnvironment } from '../../protocol/control-plane.ts';
import { mcpToolSchema, type McpTool } from '../../protocol/mcp.ts';
import { type McpConfiguration, type McpTarget, readMcpServers } from '../../tools/mcp/configuration.ts';
import { mcpToolsBytesMax, mcpToolsMax, toolsOfOffer, withNames } from '../../tools/mcp/tools.ts';
import type { Session, WorkerDeps } from '../deps.ts';

export interface McpSurroundings {
  readonly environment: ResolvedEnvironment;
  /** Of the workflow's input; they go before all others. */
  readonly askedServers: Readonly<Record<string, unknown>> | undefined;
  /** Of skill folders; a server of the same name that is configured goes before it. */
  readonly folderServers: Readonly<Record<string, unknown>>;
  /** Absolute path. */
  readonly workspace: string;
}

/** Finding and starting takes a second; a server that is downloaded first takes longer, and a local activity 120 s at most. */
const discoveryLimitMs = 90_000;

/** Tells the redactor every secret that is in it. */
export function readMcpConfiguration(
  session: Pick<Session, 'toolEnvironment'>,
  { redactor }: Pick<WorkerDeps, 'redactor'>,
  { environment, askedServers, folderServers, workspace }: McpSurroundings,
): McpConfiguration {
  const secrets = textValues(environment.secrets_resolved);
  for (const secret of Object.values(secrets)) redactor.register(secret);
  const configuration = readMcpServers(
    { ...folderServers, ...environment.mcp_servers, ...askedServers },
    {
      environment: { ...session.toolEnvironment, ...textValues(environment.env_vars) },
      secrets,
      base: session.toolEnvironment,
      workspace,
    },
  );
  for (const secret of configuration.secrets) redactor.register(secret);
  return configuration;
}

/** For the calls of an execution: a server that cannot be reached stands as a sentence. */
export function targetsOf({ servers, problems }: McpConfiguration): ReadonlyMap<string, McpTarget | string> {
  return new Map<string, McpTarget | string>([
    ...problems.map(({ server, message }) => [server, message] as const),
    ...servers.map(({ name, target }) => [name, target] as const),
  ]);
}

/** Throws a KubiyaError for a server that is required; the others are missed with a sentence each. */
export async function discoverMcpTools(
  executionId: string,
  configuration: McpConfiguration,
  { mcp, redactor }: Pick<WorkerDeps, 'mcp' | 'redactor'>,
): Promise<{ readonly tools: readonly McpTool[]; readonly problems: readonly string[] }> {
  const signal = AbortSignal.timeout(discoveryLimitMs);
  const problems = [...configuration.problems];
  const found = await Promise.all(
    configuration.servers.map(async (settings) => {
      const { name, target, server } = settings;
      const discovery = await mcp.discover({ target, executionId }, signal);
      if (discovery.ok) return toolsOfOffer(settings, discovery.offer);
      const message = `MCP server ${name} is not available: ${redactor.redact(discovery.problem)}`;
      problems.push({ server: name, message, isRequired: server.required });
      return [];
    }),
  );
  const sentences = sentencesOf(problems);
  // Before they get their names: a provider takes no mask in a name.
  const { kept, left } = bounded(withNames(found.flat().map((tool) => clean(tool, redactor))));
  if (left > 0) {
    sentences.push(
      `${left} tools of MCP servers are left out: an agent can have ${mcpToolsMax} of them and ${mcpToolsBytesMax} bytes of descriptions; choose with \`allowed_tools\``,
    );
  }
  return { tools: kept, problems: sentences };
}

/** Throws a KubiyaError for a server that is required. */
export function sentencesOf(problems: McpConfiguration['problems']): string[] {
  const missed = problems.find(({ isRequired }) => isRequired);
  if (missed === undefined) return problems.map(({ message }) => message);
  throw new KubiyaError(missed.message, {
    kind: 'configuration',
    code: 'mcp_server_missing',
    hint: 'correct its configuration, or take `required` off it',
  });
}

const namelessSchema = v.omit(mcpToolSchema, ['name']);

/** A server may repeat in a name or a description what it was given. */
function clean(tool: Omit<McpTool, 'name'>, redactor: WorkerDeps['redactor']): Omit<McpTool, 'name'> {
  const text = JSON.stringify(tool);
  const redacted = redactor.redact(text);
  return redacted === text ? tool : v.parse(namelessSchema, JSON.parse(redacted));
}

function bounded(tools: readonly McpTool[]): { readonly kept: readonly McpTool[]; readonly left: number } {
  const kept: McpTool[] = [];
  let bytes = 0;
  for (const tool of tools) {
    const size = Buffer.byteLength(JSON.stringify(tool));
    if (kept.length >= mcpToolsMax || bytes + size > mcpToolsBytesMax) continue;
    bytes += size;
    kept.push(tool);
  }
  return { kept, left: tools.length - kept.length };
}

export function textValues(values: Readonly<Record<string, unknown>> | null | undefined): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(values ?? {})) {
    if (typeof value === 'string' && !value.includes('\0')) texts[name] = value;
    else if (typeof value === 'number' || typeof value === 'boolean') texts[name] = String(value);
  }
  return texts;
}
