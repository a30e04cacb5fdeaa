// Merges the sources into one frozen Config, or fails with every problem at once.
import { KubiyaError, messageOf } from '../errors.ts';
import type { Config, EffectiveSetting, ExternalTemporal, LogLevel, Origin, Profile } from './config.ts';
import { readContext } from './context-file.ts';
import {
  optionEntries,
  options,
  type CommandScope,
  type OptionName,
  type OptionValue,
  type RawConfig,
} from './options.ts';
import { resolvePaths, type Paths } from './paths.ts';
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
import { parseValue } from './values.ts';

export interface LoadOptions {
  readonly scope: CommandScope;
  readonly flags?: FlagValues;
  readonly facts?: ProcessFacts;
}

interface Problem {
  readonly origin: Origin;
  /** A sentence that names the flag or variable, never the value of a secret. */
  readonly message: string;
}

/** The values of all options, by name, with the problems found on the way. */
interface Merged {
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
  const context = await readContext(paths.contextFile, given(environment, 'KUBIYA_CONTEXT'));
  const merged = merge(readSources(flags, environment, context), scope, facts.cwd);
  const token = readToken(merged);
  const settings = effectiveSettings(merged);
  const supervisedBy = readSupervisedBy(environment);
  const config: Omit<Config, 'settings'> = {
    ...controlPlaneOf(merged, token, context?.name),
    paths,
    environmentName: merged.read('environmentName') ?? 'default',
    model: merged.read('model'),
    worker: workerOf(merged, facts),
    web: webOf(merged),
    metrics: {
      isEnabled: merged.read('areMetricsEnabled') ?? false,
      port: merged.read('metricsPort') ?? options.metricsPort.default,
      host: merged.read('metricsHost') ?? options.metricsHost.default,
    },
    server: serverOf(merged, paths),
    log: logOf(merged),
    network: {
      httpProxy: merged.read('httpProxy'),
      httpsProxy: merged.read('httpsProxy'),
      noProxy: merged.read('noProxy'),
      caFile: merged.read('caFile'),
    },
    providers: createSecret(readProviders(environment)),
    isDebug: merged.read('isDebug') ?? false,
    mustVerifyCache: merged.read('mustVerifyCache') ?? false,
    isNonInteractive: merged.read('isNonInteractive') ?? false,
    supervisedBy: supervisedBy === undefined ? undefined : createSecret(supervisedBy),
    childEnvironmentBase: createSecret(environment),
  };
  refuseProblems(merged.problems);
  return deepFreeze({ ...config, settings });
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
    else problems.push({ origin: found.origin, message: `${describeOrigin(found.origin)} ${result.problem}` });
  }
  return {
    problems,
    // The map holds under each name what parseValue made of that option's declaration.
    read: <Name extends OptionName>(name: Name) => values.get(name) as OptionValue<Name> | undefined,
    origin: (name) => raw[name]?.origin ?? { kind: 'default' },
  };
}

function readToken(merged: Merged): { readonly token: Secret | undefined; readonly file: string | undefined } {
  const key = merged.read('apiKey');
  // A key in the environment is nearer than a file, and a file nearer than a context.
  if (key !== undefined && merged.origin('apiKey').kind === 'environment')
    return { token: secretOf(merged, 'apiKey', key), file: undefined };
  const file = merged.read('apiKeyFile');
  if (file !== undefined) return { token: readSecret(merged, 'apiKeyFile'), file };
  return { token: key === undefined ? undefined : secretOf(merged, 'apiKey', key), file: undefined };
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
    const message = `${describeOrigin(origin)} gives a key with a line break or a character that no key has`;
    merged.problems.push({ origin, message });
  }
  return createSecret(value);
}

/** Local when it is asked for or when there is no key; the sentence is what every start says (features §1). */
function controlPlaneOf(
  merged: Merged,
  { token, file }: ReturnType<typeof readToken>,
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
  // Kubernetes kills after 30 s and docker after 10 s: each leaves time for what comes after the drain (features §2.1).
  const drainDefaultMs = { kubernetes: 25_000, container: 8_000, none: 30_000 }[container];
  return {
    queue: merged.read('queue'),
    type: 'local',
    hostname: merged.read('workerHostname') ?? facts.hostname,
    heartbeatIntervalMs: merged.read('heartbeatInterval') ?? options.heartbeatInterval.default * 1000,
    concurrentActivitiesMax: merged.read('concurrentActivities') ?? options.concurrentActivities.default,
    concurrentWorkflowsMax: merged.read('concurrentWorkflows') ?? options.concurrentWorkflows.default,
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
    const value = merged.read(name) ?? null;
    const shown = option.isSecret === true && value !== null ? '[redacted]' : value;
    return {
      name,
      value: shown,
      unit: option.type === 'seconds' || option.type === 'duration' ? 'ms' : undefined,
      defaultText: option.defaultText,
      origin: merged.origin(name),
      description: option.description,
    };
  });
}

function refuseProblems(problems: readonly Problem[]): void {
  const first = problems[0];
  if (first === undefined) return;
  const isCommandLine = problems.every(({ origin }) => origin.kind === 'flag');
  const messages = problems.map(({ message }) => message);
  throw new KubiyaError(
    messages.length === 1 ? first.message : `${messages.length} settings are wrong:\n  ${messages.join('\n  ')}`,
    {
      kind: isCommandLine ? 'usage' : 'configuration',
      code: isCommandLine ? 'flag_invalid' : 'configuration_invalid',
      hint: isCommandLine
        ? 'the same command with --help lists the flags'
        : 'correct the settings; `kubiya config show` lists them with their origin',
    },
  );
}

export function describeOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'flag':
    case 'environment':
      return origin.name;
    case 'context':
      return `context ${origin.name}`;
    case 'default':
      return 'default';
  }
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
