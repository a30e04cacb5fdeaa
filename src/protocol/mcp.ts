// MCP servers as agents, environments and skill folders configure them, and their tools as an execution records them.
import * as v from 'valibot';
import { toolEffectSchema } from './tool.ts';

const names = v.array(v.string());

/** How a worker gets a token for a server behind OAuth; without it, headers are all that is sent. */
const mcpOAuthSchema = v.object({
  /**
   * `authorization_code` works where the authorization server needs no person: a worker has no browser. `cross_app_access`
   * lets an identity provider vouch for the person of `id_token`.
   */
  grant: v.optional(v.picklist(['client_credentials', 'authorization_code', 'cross_app_access']), 'client_credentials'),
  client_id: v.optional(v.string()),
  client_secret: v.optional(v.string()),
  /** PEM; the client then proves itself with a signed assertion (`private_key_jwt`). */
  private_key: v.optional(v.string()),
  algorithm: v.optional(v.string(), 'ES256'),
  scope: v.optional(v.string()),
  /**
   * Of `cross_app_access`: the identity provider's URL, or its token endpoint where it has no metadata; our client there; and
   * the person's ID token, best as a secret.
   */
  idp_url: v.optional(v.string()),
  idp_token_endpoint: v.optional(v.string()),
  idp_client_id: v.optional(v.string()),
  idp_client_secret: v.optional(v.string()),
  id_token: v.optional(v.string()),
  /** URL of the client's metadata document, for servers that take one instead of a registration. */
  client_metadata_url: v.optional(v.string()),
  /** The only authorization server that may see these credentials. */
  issuer: v.optional(v.string()),
  /** For servers of the protocol of March 2025, whose metadata may name another issuer than the one that was asked. */
  skip_issuer_check: v.optional(v.boolean(), false),
});
export type McpOAuth = v.InferOutput<typeof mcpOAuthSchema>;

/**
 * Where an MCP server is and how to reach it. Texts in `command`, `args`, `env`, `cwd`, `url`, `headers` and `oauth` may hold
 * `{{.secret.NAME}}`, `{{.env.NAME}}`, `${NAME}` and `${NAME:-default}`.
 */
export const mcpServerSchema = v.looseObject({
  /** Without it: `stdio` when there is a command, else `http`. `streamable_http` and `streamable-http` are `http`. */
  transport: v.optional(v.string()),
  type: v.optional(v.string()),
  command: v.optional(v.string()),
  args: v.optional(v.array(v.string())),
  env: v.optional(v.record(v.string(), v.string())),
  /** Default: the execution's working directory, and then the server is that execution's alone. */
  cwd: v.optional(v.string()),
  url: v.optional(v.string()),
  headers: v.optional(v.record(v.string(), v.string())),
  oauth: v.optional(mcpOAuthSchema),
  enabled: v.optional(v.boolean(), true),
  /** An execution fails without this server; else it goes on with a notice. */
  required: v.optional(v.boolean(), false),
  /** Seconds that one call may take. */
  timeout: v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(3_600)), 300),
  /** Seconds until the server has to have answered for the first time. */
  startup_timeout: v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(120)), 60),
  /** Believes the server's `readOnlyHint` and `idempotentHint`; else every call counts as side-effecting. */
  trust_annotations: v.optional(v.boolean(), false),
  read_only_tools: v.optional(names, []),
  idempotent_tools: v.optional(names, []),
  /** Only these tools, when given. */
  allowed_tools: v.optional(names),
  blocked_tools: v.optional(names, []),
  /** Questions that a server asks a person: refused, or answered with the defaults it proposes. */
  elicitation: v.optional(v.picklist(['decline', 'defaults']), 'decline'),
});
export type McpServer = v.InferOutput<typeof mcpServerSchema>;

/** A tool of a server as an execution keeps it for its whole life, on every worker. Holds no secret: it is in the history. */
export const mcpToolSchema = v.object({
  /** What the model calls it. */
  name: v.string(),
  server: v.string(),
  kind: v.picklist(['tool', 'list_resources', 'read_resource', 'get_prompt']),
  /** What the server calls it; empty for the kinds that are ours. */
  tool: v.string(),
  description: v.string(),
  inputSchema: v.record(v.string(), v.unknown()),
  effect: toolEffectSchema,
  timeoutMs: v.number(),
});
export type McpTool = v.InferOutput<typeof mcpToolSchema>;
