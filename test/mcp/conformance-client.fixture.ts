// The program that the official conformance suite runs as the client under test: our MCP servers against the URL it is given.
import { readMcpServers } from '../../src/tools/mcp/configuration.ts';
import { createMcpServers, type McpCall } from '../../src/tools/mcp/servers.ts';

/** What the suite says of its scenario, for those that need credentials. */
interface SuiteContext {
  readonly client_id?: string;
  readonly client_secret?: string;
  readonly private_key_pem?: string;
  readonly signing_algorithm?: string;
  readonly idp_token_endpoint?: string;
  readonly idp_client_id?: string;
  readonly idp_id_token?: string;
}

const workspace = process.cwd();
const url = process.argv.at(-1) ?? '';
const scenario = process.env['MCP_CONFORMANCE_SCENARIO'] ?? '';
const context = JSON.parse(process.env['MCP_CONFORMANCE_CONTEXT'] ?? '{}') as SuiteContext;

/** As a user would write it for such a server. */
function oauth(): Record<string, unknown> | undefined {
  if (!scenario.startsWith('auth/')) return undefined;
  const isMachine = scenario.startsWith('auth/client-credentials');
  const isVouchedFor = scenario.startsWith('auth/cross-app-access');
  return {
    grant: isMachine ? 'client_credentials' : isVouchedFor ? 'cross_app_access' : 'authorization_code',
    ...(isVouchedFor
      ? {
          idp_token_endpoint: context.idp_token_endpoint,
          idp_client_id: context.idp_client_id,
          id_token: context.idp_id_token,
        }
      : {}),
    ...(context.client_id === undefined ? {} : { client_id: context.client_id }),
    ...(context.client_secret === undefined ? {} : { client_secret: context.client_secret }),
    ...(context.private_key_pem === undefined ? {} : { private_key: context.private_key_pem }),
    ...(context.signing_algorithm === undefined ? {} : { algorithm: context.signing_algorithm }),
    ...(scenario.startsWith('auth/2025-03-26') ? { skip_issuer_check: true } : {}),
    ...(scenario === 'auth/basic-cimd'
      ? { client_metadata_url: 'https://conformance-test.local/client-metadata.json' }
      : {}),
  };
}

const { servers: settings, problems } = readMcpServers(
  { suite: { url, transport: 'http', elicitation: 'defaults', oauth: oauth() ?? null } },
  { environment: {}, secrets: {}, base: {}, workspace },
);
const [setting] = settings;
if (setting === undefined) throw new Error(problems.map(({ message }) => message).join('; '));
const { target } = setting;
const servers = createMcpServers({
  spawner: { instanceId: 'conformance', start: () => Promise.reject(new Error('no server is a process here')) },
  fetch: (at, init) => fetch(at, init),
  onEvent: (message, fields) => console.error(message, JSON.stringify(fields)),
});

/** The suite's tools with what they want. */
function argumentsOf(tool: string): Record<string, unknown> {
  return tool === 'add_numbers' ? { a: 5, b: 3 } : {};
}

const signal = AbortSignal.timeout(25_000);
const discovery = await servers.discover({ target, executionId: 'e' }, signal);
if (!discovery.ok) throw new Error(discovery.problem);
for (const { name } of discovery.offer.tools) {
  const call: McpCall = {
    target,
    kind: 'tool',
    tool: name,
    arguments: argumentsOf(name),
    executionId: 'e',
    callId: 'c',
    timeoutMs: 20_000,
    workspace,
    outputBytesMax: 10_000,
  };
  const outcome = await servers.call(call, signal, () => undefined);
  console.error(name, outcome.status, outcome.output);
}
await servers.stop();
