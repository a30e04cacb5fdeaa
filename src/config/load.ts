// Merges the sources into one frozen Config, or fails with every problem at once.
import { KubiyaError, messageOf } from '../errors.ts';
import { expiryMsOf } from '../lib/json-web-token.ts';
import { isLoopback } from '../lib/loopback.ts';
import { readAuthorities } from '../lib/network.ts';
import type { Config, EffectiveSetting, ExternalTemporal, LogLevel, Origin, Profile } from './config.ts';
import { findContext } from './find-context.ts';
import { openTelemetryOf } from './open-telemetry.ts';
import {
  optionEntries,
  options,
  type CommandScope,
  type OptionDeclaration,
  type OptionName,
  type OptionValue,
  type RawConfig,
} from './options.ts';
import { resolvePaths, type Paths } from './paths.ts';
import { describeOrigin, placeOf, type Problem, refuseProblems } from './problems.ts';
import { createSecret, type Secret } from './secret.ts';
import {
  containerKind,
  given,
  processFacts,
  readProviders,
  readSecretFile,
  readSources,
  readSupervisedBy,
  type FlagValues,
  type ProcessFacts,
} from './sources.ts';
import { parseValue, withoutCredentials } from './values.ts';
import { warningsOf } from './warnings.ts';

export interface LoadOptions {
  readonly scope: CommandScope;
  readonly flags?: FlagValues;
  readonly facts?: ProcessFacts;
}

/** The values of all options, by name, with the problems found on the way. */
export interface Merged {
  read<Name extends OptionName>(name: Name): OptionValue<Name> | undefined;
  origin(name: OptionName): Origin;
  readonly problems: Problem[];
}

export async function loadConfig({ scope, flags = {}, facts = processFacts() }: LoadOptions): Promise<Config> {
  const { environment } = facts;
  const paths = resolvePaths({
    kubiyaHome: given(environment, 'KUBIYA_HOME'),
    userHome: facts.userHome,
    contextFile: given(environment, 'KUBIYA_CONFIG'),
    cwd: facts.cwd,
  });
  const found = await findContext(paths, scope, flags, environment);
  const merged = merge(readSources(flags, environment, found.context), scope, facts.cwd);
  merged.problems.unshift(...found.problems);
  const token = readToken(merged);
  checkAuthorities(merged);
  checkIssuer(merged);
  const settings = effectiveSettings(merged);
  const supervisedBy = readSupervisedBy(environment);
  const config: Omit<Config, 'settings' | 'warnings'> = {
    ...controlPlaneOf(merged, token, found.context?.name),
    paths,
    context: found.context?.name ?? merged.read('contextName'),
    environmentName: merged.read('environmentName') ?? 'default',
    model: merged.read('model'),
    worker: workerOf(merged, facts),
    web: webOf(merged),
    metrics: {
      isEnabled: merged.read('areMetricsEnabled') ?? false,
      port: merged.read('metricsPort') ?? options.metricsPort.default,
      host: merged.read('metricsHost') ?? options.metricsHost.default,
    },
    openTelemetry: openTelemetryOf(merged),
    traceparent: merged.read('traceparent'),
    server: serverOf(merged, paths),
    log: logOf(merged),
    network: {
      httpProxy: merged.read('httpProxy'),
      httpsProxy: merged.read('httpsProxy'),
      noProxy: merged.read('noProxy'),
      caFile: merged.read('caFile'),
    },
    login: {
      issuer: merged.read('loginIssuer') ?? options.loginIssuer.default,
      clientId: merged.read('loginClientId') ?? options.loginClientId.default,
      audience: merged.read('loginAudience') ?? options.loginAudience.default,
      port: merged.read('loginPort') ?? options.loginPort.default,
    },
    providers: createSecret(readProviders(environment)),
    isDebug: merged.read('isDebug') ?? false,
    mustVerifyCache: merged.read('mustVerifyCache') ?? false,
    isNonInteractive: merged.read('isNonInteractive') ?? false,
    supervisedBy: supervisedBy === undefined ? undefined : createSecret(supervisedBy),
    childEnvironmentBase: createSecret(environment),
  };
  refuseProblems(merged.problems);
  if (scope !== 'show') refuseExpired(token.origin, config);
  const contextOrigin = merged.origin('contextName');
  const warnings = warningsOf({ scope, keyOrigin: token.origin, contextOrigin, config, found });
  return deepFreeze({ ...config, settings, warnings });
}

/** A file that was named for us must be right; SSL_CERT_FILE is often a left-over, and fails only where it is needed. */
function checkAuthorities(merged: Merged): void {
  const origin = merged.origin('caFile');
  if (origin.kind !== 'environment' || origin.name !== 'KUBIYA_CA_FILE') return;
  try {
    readAuthorities({ caFile: merged.read('caFile') });
  } catch (error) {
    merged.problems.push({ origin, message: `${origin.name}: ${messageOf(error)}` });
  }
}

/** Its answer holds the token: in the clear it is for this machine alone. */
function checkIssuer(merged: Merged): void {
  const issuer = merged.read('loginIssuer') ?? '';
  if (!issuer.startsWith('http://') || isLoopback(issuer)) return;
  const origin = merged.origin('loginIssuer');
  const message = `${describeOrigin(origin)} must begin with https://, unless it is on this machine`;
  merged.problems.push({ origin, message });
}

/** A key of the environment may be of any kind; that of a context is what `kubiya login` has put there. */
function refuseExpired(keyOrigin: Origin, { controlPlane, context }: Pick<Config, 'controlPlane' | 'context'>): void {
  if (controlPlane.token === undefined || keyOrigin.kind !== 'context') return;
  const expiryMs = expiryMsOf(controlPlane.token.reveal());
  if (expiryMs === undefined || expiryMs > Date.now()) return;
  throw new KubiyaError(`the token of the context ${context ?? ''} expired at ${new Date(expiryMs).toISOString()}`, {
    kind: 'authentication',
    code: 'token_expired',
    hint: 'get a new one with `kubiya login`',
  });
}

function merge(raw: RawConfig, scope: CommandScope, cwd: string): Merged {
  const values = new Map<OptionName, string | number | boolean>();
  const problems: Problem[] = [];
  for (const [name, option] of optionEntries()) {
    const found = raw[name];
    const isRead = scope === 'show' || option.scopes.includes(scope);
    if (found === undefined || !isRead) {
      if (option.default !== undefined)
        values.set(name, option.type === 'seconds' ? Number(option.default) * 1000 : option.default);
      continue;
    }
    const result = parseValue(option, found.value, cwd);
    if (result.ok) values.set(name, result.value);
    else problems.push({ origin: found.origin, message: `${placeOf(found.origin)} ${result.problem}` });
  }
  return {
    problems,
    // The map holds under each name what parseValue made of that option's declaration.
    read: <Name extends OptionName>(name: Name) => values.get(name) as OptionValue<Name> | undefined,
    origin: (name) => raw[name]?.origin ?? { kind: 'default' },
  };
}

interface Key {
  readonly token: Secret | undefined;
  readonly file: string | undefined;
  readonly origin: Origin;
}

function readToken(merged: Merged): Key {
  const key = merged.read('apiKey');
  const origin = merged.origin('apiKey');
  const file = merged.read('apiKeyFile');
  // A key in the environment is nearer than a file, and a file nearer than a context.
  if (file !== undefined && (key === undefined || origin.kind !== 'environment'))
    return { token: readSecret(merged, 'apiKeyFile'), file, origin: merged.origin('apiKeyFile') };
  return { token: key === undefined ? undefined : secretOf(merged, 'apiKey', key), file: undefined, origin };
}

type SecretFileName = 'apiKeyFile' | 'serverTokenFile' | 'temporalApiKeyFile' | 'webTokenFile';

function readSecret(merged: Merged, name: SecretFileName): Secret | undefined {
  const path = merged.read(name);
  if (path === undefined) return undefined;
  const origin = merged.origin(name);
  try {
    const value = readSecretFile(path);
    if (value !== '') return secretOf(merged, name, value);
    merged.problems.push({ origin, message: `${describeOrigin(origin)} names ${path}, which is empty` });
  } catch (error) {
    merged.problems.push({
      origin,
      message: `${describeOrigin(origin)} names a file that cannot be read: ${messageOf(error)}`,
    });
  }
  return undefined;
}

/** Every secret here is sent in a header, which takes one line of ASCII; the value itself is never shown. */
function secretOf(merged: Merged, name: OptionName, value: string): Secret {
  const origin = merged.origin(name);
  if (!/^[\x20-\x7e]*$/.test(value)) {
    const message = `${placeOf(origin)} gives a key with a line break or a character that no key has`;
    merged.problems.push({ origin, message });
  }
  return createSecret(value);
}

/** Local when it is asked for or when there is no key; the sentence is what every start says. */
function controlPlaneOf(
  merged: Merged,
  { token, file }: Key,
  contextName: string | undefined,
): Pick<Config, 'profile' | 'controlPlane'> {
  const isLocal = merged.read('localServer') === true || token === undefined;
  const profile: Profile = { kind: isLocal ? 'local' : 'cloud', reason: profileReason(merged, file, contextName) };
  return {
    profile,
    controlPlane: {
      url: merged.read('controlPlaneUrl') ?? options.controlPlaneUrl.default,
      isUrlExplicit: merged.origin('controlPlaneUrl').kind !== 'default',
      token: isLocal ? undefined : token,
      tokenFile: isLocal ? undefined : file,
    },
  };
}

function profileReason(merged: Merged, tokenFile: string | undefined, contextName: string | undefined): string {
  if (merged.read('localServer') === true)
    return `${describeOrigin(merged.origin('localServer'))} is set, so the local profile is used`;
  if (tokenFile !== undefined) return 'KUBIYA_API_KEY_FILE is set, so the Kubiya control plane is used';
  if (merged.read('apiKey') === undefined) return 'no KUBIYA_API_KEY is set, so the local profile is used';
  if (merged.origin('apiKey').kind === 'environment')
    return 'KUBIYA_API_KEY is set, so the Kubiya control plane is used';
  return `the context ${contextName ?? ''} has a token, so the Kubiya control plane is used`;
}

function workerOf(merged: Merged, facts: ProcessFacts): Config['worker'] {
  const container = containerKind(facts);
  // Kubernetes kills after 30 s and docker after 10 s: each leaves time for what comes after the drain.
  const drainDefaultMs = { kubernetes: 25_000, container: 8_000, none: 30_000 }[container];
  return {
    queue: merged.read('queue'),
    type: 'local',
    hostname: merged.read('workerHostname') ?? facts.hostname,
    heartbeatIntervalMs: merged.read('heartbeatInterval') ?? options.heartbeatInterval.default * 1000,
    concurrentActivitiesMax: merged.read('concurrentActivities') ?? options.concurrentActivities.default,
    concurrentWorkflowsMax: merged.read('concurrentWorkflows') ?? options.concurrentWorkflows.default,
    isConcurrencyAsked: {
      activities: merged.origin('concurrentActivities').kind !== 'default',
      workflows: merged.origin('concurrentWorkflows').kind !== 'default',
    },
    cpuLimit: merged.read('cpuLimit'),
    activityTimeoutMs: merged.read('activityTimeout') ?? options.activityTimeout.default * 1000,
    drainTimeoutMs: merged.read('drainTimeout') ?? drainDefaultMs,
    mode: merged.read('mode') ?? options.mode.default,
    isOnce: merged.read('isOnce') ?? false,
    idleTimeoutMs: merged.read('idleTimeout'),
    uptimeMsMax: merged.read('uptimeLimit'),
    memoryBytesMax: merged.read('memoryLimit'),
    runtime: merged.read('runtime') ?? options.runtime.default,
    mayMixQueue: merged.read('mayMixQueue') ?? false,
    retention: {
      ageMsMax: (merged.read('retentionDays') ?? options.retentionDays.default) * 86_400_000,
      workspacesBytesMax: merged.read('workspacesBytesMax') ?? options.workspacesBytesMax.default,
    },
  };
}

function webOf(merged: Merged): Config['web'] {
  const host = merged.read('webHost') ?? options.webHost.default;
  const token = readSecret(merged, 'webTokenFile');
  if (!isLoopbackHost(host) && token === undefined) {
    const origin = merged.origin('webHost');
    const message = `${describeOrigin(origin)} ${host} is not loopback and needs a token: set KUBIYA_WEBUI_TOKEN_FILE`;
    merged.problems.push({ origin, message });
  }
  return {
    isEnabled: merged.read('isWebEnabled') ?? true,
    port: merged.read('webPort') ?? options.webPort.default,
    isPortExplicit: merged.origin('webPort').kind !== 'default',
    host,
    token,
  };
}

function serverOf(merged: Merged, paths: Paths): Config['server'] {
  const host = merged.read('host') ?? options.host.default;
  const token = readSecret(merged, 'serverTokenFile');
  if (!isLoopbackHost(host) && token === undefined) {
    merged.problems.push({
      origin: merged.origin('host'),
      message: `--host ${host} is not loopback and needs a token: set KUBIYA_SERVER_TOKEN_FILE`,
    });
  }
  return {
    port: merged.read('port') ?? options.port.default,
    isPortExplicit: merged.origin('port').kind !== 'default',
    host,
    advertise: merged.read('advertise'),
    dataDirectory: merged.read('dataDirectory') ?? paths.localDirectory,
    token,
    temporal: temporalOf(merged),
  };
}

function temporalOf(merged: Merged): ExternalTemporal | undefined {
  const address = merged.read('temporalAddress');
  const apiKey = readSecret(merged, 'temporalApiKeyFile');
  if (address === undefined) {
    for (const name of ['temporalNamespace', 'temporalApiKeyFile', 'temporalTls'] as const) {
      const origin = merged.origin(name);
      if (origin.kind !== 'default')
        merged.problems.push({ origin, message: `${describeOrigin(origin)} needs --temporal-address` });
    }
    return undefined;
  }
  return {
    address,
    namespace: merged.read('temporalNamespace') ?? options.temporalNamespace.default,
    apiKey,
    isTls: merged.read('temporalTls') === true || apiKey !== undefined,
  };
}

function logOf(merged: Merged): Config['log'] {
  const level = merged.read('logLevel') ?? options.logLevel.default;
  const plain: LogLevel = level === 'warning' ? 'warn' : level;
  return {
    level: merged.read('isDebug') === true ? 'debug' : plain,
    format: merged.read('logFormat') ?? options.logFormat.default,
    fileBytesMax: merged.read('logBytesMax') ?? options.logBytesMax.default,
    backupsMax: merged.read('logBackupsMax') ?? options.logBackupsMax.default,
  };
}

function effectiveSettings(merged: Merged): readonly EffectiveSetting[] {
  return optionEntries().map(([name, option]) => {
    return {
      name,
      value: shownValue(option, merged.read(name)),
      unit: unitOf(option),
      defaultText: option.defaultText,
      origin: merged.origin(name),
      description: option.description,
    };
  });
}

function shownValue(
  option: OptionDeclaration,
  value: string | number | boolean | undefined,
): EffectiveSetting['value'] {
  if (value === undefined) return null;
  if (option.isSecret === true) return '[redacted]';
  // A query is where keys stand of those who take no header.
  return typeof value === 'string' && /^(?:proxy|url)$/.test(option.type)
    ? withoutCredentials(value).replace(/\?.*/, '?[redacted]')
    : value;
}

function unitOf({ type }: OptionDeclaration): EffectiveSetting['unit'] {
  if (type === 'seconds' || type === 'duration') return 'ms';
  return type === 'bytes' ? 'bytes' : undefined;
}

function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host);
}

/** Nothing changes a configuration after it is made; secrets are closures and frozen already. */
function deepFreeze<T extends object>(value: T): T {
  for (const nested of Object.values(value))
    if (typeof nested === 'object' && nested !== null) deepFreeze(nested as object);
  return Object.freeze(value);
}
