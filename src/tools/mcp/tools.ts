// The tools of MCP servers: what of an offer an execution records, and the recorded ones as tools of a worker.
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { cutHead } from '../../lib/text.ts';
import type { McpTool } from '../../protocol/mcp.ts';
import type { ToolEffect } from '../../protocol/tool.ts';
import { defineTool, failure, type Tool } from '../tool.ts';
import type { McpSettings, McpTarget } from './configuration.ts';
import type { McpOffer } from './connection.ts';
import type { McpServers } from './servers.ts';

/** What providers take as a tool's name. */
const nameLengthMax = 64;
const suffixLength = 7;
/** Of one description; the model reads it with every call. */
const descriptionBytesMax = 4_000;
/** Of all tools of an execution as JSON: they are in the input of every call; twenty at once stay below 2 MB. */
export const mcpToolsBytesMax = 80_000;
/** OpenAI refuses more in one request. */
export const mcpToolsMax = 120;

/** In the server's order, without names: a name depends on the other servers. */
export function toolsOfOffer(
  { name: server, server: configured }: McpSettings,
  offer: McpOffer,
): Omit<McpTool, 'name'>[] {
  const timeoutMs = configured.timeout * 1000;
  const allowed = configured.allowed_tools && new Set(configured.allowed_tools);
  const blocked = new Set(configured.blocked_tools);
  const tools: Omit<McpTool, 'name'>[] = offer.tools
    .filter((tool) => !blocked.has(tool.name) && (allowed === undefined || allowed.has(tool.name)))
    .map((tool) => ({
      server,
      kind: 'tool',
      tool: tool.name,
      description: cutHead(tool.description, descriptionBytesMax),
      inputSchema: { ...tool.inputSchema },
      effect: effectOf(tool, configured),
      timeoutMs,
    }));
  const own = (
    kind: Exclude<McpTool['kind'], 'tool'>,
    description: string,
    properties: object,
    required: string[],
  ): void => {
    if (blocked.has(kind) || (allowed !== undefined && !allowed.has(kind))) return;
    const inputSchema = { type: 'object', properties, required };
    tools.push({ server, kind, tool: '', description, inputSchema, effect: 'read_only', timeoutMs });
  };
  if (offer.hasResources) {
    own('list_resources', `Lists the resources of the MCP server ${server}.`, {}, []);
    const uri = { type: 'string', description: 'As list_resources gives it; a template with its parts filled in.' };
    own('read_resource', `Reads a resource of the MCP server ${server}.`, { uri }, ['uri']);
  }
  if (offer.prompts.length > 0) {
    const description = `Gets a prompt that the MCP server ${server} has prepared. The prompts are:\n${offer.prompts.map(promptLine).join('\n')}`;
    const name = { type: 'string', enum: offer.prompts.map((prompt) => prompt.name) };
    const values = { type: 'object', additionalProperties: { type: 'string' } };
    own('get_prompt', cutHead(description, descriptionBytesMax), { name, arguments: values }, ['name']);
  }
  return tools;
}

function promptLine(prompt: McpOffer['prompts'][number]): string {
  const names = prompt.arguments.map(({ name, isRequired }) => (isRequired ? name : `${name}?`)).join(', ');
  return `${prompt.name}(${names})${prompt.description === '' ? '' : ` - ${prompt.description}`}`;
}

/** A server's own word counts only where its configuration says so: it decides what is run twice. */
function effectOf(tool: McpOffer['tools'][number], server: McpSettings['server']): ToolEffect {
  if (server.read_only_tools.includes(tool.name)) return 'read_only';
  if (server.idempotent_tools.includes(tool.name)) return 'idempotent';
  if (!server.trust_annotations) return 'side_effecting';
  if (tool.isReadOnly) return 'read_only';
  return tool.isIdempotent ? 'idempotent' : 'side_effecting';
}

/** `mcp__<server>__<tool>` in 64 of [A-Za-z0-9_-], each once; the same tools give the same names. */
export function withNames(tools: readonly Omit<McpTool, 'name'>[]): McpTool[] {
  const taken = new Set<string>();
  return tools.map((tool) => {
    const own = tool.kind === 'tool' ? tool.tool : tool.kind;
    const plain = `mcp__${tool.server}__${own}`;
    const word = plain.replaceAll(/[^A-Za-z0-9_-]/g, '_');
    let name = word;
    // A server may name the same tool any number of times; a provider refuses all tools for one name that is there twice.
    for (let count = 0; name.length > nameLengthMax || taken.has(name); count += 1) {
      const seed = `${plain}\0${tool.kind}${count === 0 ? '' : `\0${count}`}`;
      const suffix = createHash('sha256').update(seed).digest('hex').slice(0, suffixLength);
      name = `${word.slice(0, nameLengthMax - suffixLength - 1)}_${suffix}`;
    }
    taken.add(name);
    return { name, ...tool };
  });
}

/** Arguments are the server's to judge: it has the schema's whole dialect. */
const argumentsSchema = v.record(v.string(), v.unknown());

/** A server that this worker cannot resolve stands as a sentence. */
export function createMcpTools(
  tools: readonly McpTool[],
  {
    targets,
    servers,
  }: { readonly targets: ReadonlyMap<string, McpTarget | string>; readonly servers: Pick<McpServers, 'call'> },
): Tool[] {
  return tools.map((recorded) => {
    const { name, description, inputSchema, effect, timeoutMs } = recorded;
    const tool = defineTool({
      name,
      description,
      input: argumentsSchema,
      effect,
      timeoutMs,
      keepsNulls: true,
      run: async (given, run) => {
        const target = targets.get(recorded.server) ?? `MCP server ${recorded.server} is not configured any more`;
        if (typeof target === 'string') return failure(target);
        const { executionId, callId, workspace, outputBytesMax } = run;
        return servers.call(
          {
            target,
            kind: recorded.kind,
            tool: recorded.tool,
            arguments: withoutForeignNulls(given, inputSchema),
            executionId,
            callId,
            workspace,
            outputBytesMax,
            timeoutMs: run.timeoutMs,
          },
          run.signal,
          run.onOutput,
        );
      },
    });
    return { ...tool, spec: { name, description, inputSchema } };
  });
}

/** Some models send null for what they leave out; where the schema knows null it means something. */
function withoutForeignNulls(
  given: Readonly<Record<string, unknown>>,
  inputSchema: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const properties = inputSchema['properties'];
  const schemaOf = (name: string): unknown =>
    typeof properties === 'object' && properties !== null ? (properties as Record<string, unknown>)[name] : undefined;
  return Object.fromEntries(
    Object.entries(given).filter(
      ([name, value]) => value !== null || (JSON.stringify(schemaOf(name)) ?? '').includes('null'),
    ),
  );
}
