// MCP servers of a worker as its tools use them: configured as an agent has them, in a workspace of their own.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createId } from '../../src/lib/ids.ts';
import { processesWithMarker } from '../../src/lib/process-tree.ts';
import { createSpawner } from '../../src/lib/spawn.ts';
import { type McpSettings, readMcpServers } from '../../src/tools/mcp/configuration.ts';
import { createMcpServers, type McpDiscovery, type McpServers } from '../../src/tools/mcp/servers.ts';
import type { ToolOutcome } from '../../src/tools/tool.ts';

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onOutput?: (text: string) => void;
  readonly executionId?: string;
  readonly kind?: 'tool' | 'list_resources' | 'read_resource' | 'get_prompt';
}

export interface ServersLab {
  readonly servers: McpServers;
  readonly workspace: string;
  /** What the log was told. */
  readonly events: readonly string[];
  /** Processes of servers, and what they have started. */
  readonly alive: () => number;
  /** As an agent's configuration names it. */
  readonly settingsOf: (server: Record<string, unknown>) => McpSettings;
  readonly call: (
    settings: McpSettings,
    tool: string,
    values?: Record<string, unknown>,
    options?: CallOptions,
  ) => Promise<ToolOutcome>;
  readonly discover: (settings: McpSettings) => Promise<McpDiscovery>;
  /** Ends all; throws when a process is left. */
  readonly stop: () => Promise<void>;
}

const limitMs = 20_000;
export const secret = 'geheim-123';

export function createServersLab(): ServersLab {
  const instanceId = createId();
  const workspace = mkdtempSync(join(tmpdir(), 'kubiya-mcp-'));
  const events: string[] = [];
  const alive = (): number => processesWithMarker(instanceId).length;
  const servers = createMcpServers({
    spawner: createSpawner({ instanceId, onStart: () => undefined, onEnd: () => undefined }),
    fetch: (url, init) => fetch(url, init),
    onEvent: (message, fields) => events.push(`${message} ${JSON.stringify(fields)}`),
  });
  return {
    servers,
    workspace,
    events,
    alive,
    settingsOf: (server) => {
      const { servers: found, problems } = readMcpServers(
        { one: server },
        {
          environment: {},
          secrets: { TOKEN: secret },
          base: { PATH: process.env['PATH'] ?? '', HOME: workspace },
          workspace,
        },
      );
      const [settings] = found;
      if (settings === undefined) throw new Error(problems.map(({ message }) => message).join('; '));
      return settings;
    },
    call: ({ target }, tool, values = {}, options = {}) =>
      servers.call(
        {
          target,
          kind: options.kind ?? 'tool',
          tool,
          arguments: values,
          executionId: options.executionId ?? 'execution',
          callId: `call:${tool}`,
          timeoutMs: limitMs,
          workspace,
          outputBytesMax: 10_000,
        },
        options.signal ?? AbortSignal.timeout(limitMs),
        options.onOutput ?? (() => undefined),
      ),
    discover: ({ target }) => servers.discover({ target, executionId: 'execution' }, AbortSignal.timeout(limitMs)),
    stop: async () => {
      await servers.stop();
      const left = alive();
      rmSync(workspace, { recursive: true, force: true });
      if (left > 0) throw new Error(`${left} processes of MCP servers are left`);
    },
  };
}
