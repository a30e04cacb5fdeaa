// What every process of ours that runs things has: an identity, a log without secrets, a guardian and the door to children.
import type { Config } from '../config/config.ts';
import { createId } from '../lib/ids.ts';
import { baseEnvironment, createSpawner, type SpawnScope, type Spawner } from '../lib/spawn.ts';
import { createLog, type LogFileOptions, type LogRoot } from '../telemetry/log.ts';
import { createRedactor, type Redactor } from '../telemetry/redact.ts';
import { startGuardian, type Guardian } from './guardian.ts';

export interface InstanceScope {
  readonly instanceId: string;
  readonly log: LogRoot;
  readonly redactor: Redactor;
  readonly guardian: Guardian;
  readonly spawner: Spawner;
  /** The allow-listed environment for children. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface InstanceScopeOptions {
  readonly config: Config;
  readonly component: string;
  /** Undefined writes no file. */
  readonly logFile: string | undefined;
  readonly stderr: 'none' | 'plain' | 'colour';
  /** Also told about process groups: the record on disk. */
  readonly groups?: Pick<SpawnScope, 'onStart' | 'onEnd'>;
  /** First line of every new log file. */
  readonly logHeader?: LogFileOptions['header'];
  readonly onLogLine?: (line: string) => void;
}

/** Our own program, to run it again as another process: the compiled binary, or Bun with the source. */
export function ownExecutable(): readonly string[] {
  const isCompiled = Bun.main.startsWith('/$bunfs/') || Bun.main.startsWith('B:');
  return isCompiled ? [process.execPath] : [process.execPath, Bun.main];
}

export async function createInstanceScope(options: InstanceScopeOptions): Promise<InstanceScope> {
  const { config, groups } = options;
  const instanceId = createId();
  const redactor = createRedactor();
  for (const secret of secretsOf(config)) redactor.register(secret);
  const { logFile } = options;
  const { fileBytesMax: bytesMax, backupsMax: backups } = config.log;
  const log = createLog({
    component: options.component,
    level: config.log.level,
    format: config.log.format,
    redactor,
    file: logFile === undefined ? undefined : { path: logFile, bytesMax, backups, header: options.logHeader },
    stderr: options.stderr,
    onLine: options.onLogLine,
  });
  const environment = baseEnvironment(config.childEnvironmentBase.reveal());
  const guardian = await startGuardian({ executable: ownExecutable(), instanceId, environment, log });
  const spawner = createSpawner({
    instanceId,
    onStart: (pgid) => {
      guardian.scope.onStart(pgid);
      groups?.onStart(pgid);
    },
    onEnd: (pgid) => {
      guardian.scope.onEnd(pgid);
      groups?.onEnd(pgid);
    },
  });
  return { instanceId, log, redactor, guardian, spawner, environment };
}

function secretsOf(config: Config): readonly string[] {
  const providers = Object.entries(config.providers.reveal())
    .filter(([name]) => /KEY|TOKEN|SECRET/.test(name))
    .flatMap(([, value]) => (value === undefined ? [] : [value]));
  const others = [config.controlPlane.token, config.server.token, config.server.temporal?.apiKey, config.web.token];
  const proxies = [config.network.httpProxy, config.network.httpsProxy].flatMap((proxy) => {
    const password = proxy === undefined ? '' : new URL(proxy).password;
    return [password, decodeURIComponent(password)];
  });
  return [...providers, ...proxies, ...others.flatMap((secret) => (secret === undefined ? [] : [secret.reveal()]))];
}
