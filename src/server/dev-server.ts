// Runs Temporal's dev server as our child: free port, readiness, restart on the same port when it dies.
import type { Spawner } from '../lib/spawn.ts';
import type { Log } from '../telemetry/log.ts';

export interface DevServerOptions {
  /** Path of the `temporal` program. */
  readonly executable: string;
  /** Preferred port; a taken one is replaced by a free one unless `isPortExplicit`. 0 takes any. */
  readonly port: number;
  readonly isPortExplicit?: boolean | undefined;
  /** Address to bind; default 127.0.0.1. There is no authentication: see `--host` in features §1. */
  readonly host?: string | undefined;
  /** Absent: everything is in memory and lost at the end. */
  readonly databaseFile?: string | undefined;
  /** Working directory of the child. */
  readonly directory: string;
  readonly spawner: Spawner;
  readonly log: Log;
  /** Environment of the child, without secrets. */
  readonly environment: Readonly<Record<string, string>>;
  /** Called once the port accepts connections, until it resolves (`probeTemporal`). */
  readonly probe: (address: string) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

export interface DevServer {
  /** `host:port`, the same for the whole life. */
  readonly address: string;
  /** Resolves when it is down for good: after `stop()`, or with the reason why it could not be kept alive. */
  readonly exited: Promise<{ readonly reason: string | null }>;
  /** A file database is closed (SIGTERM), an in-memory one is killed. May be called again. */
  stop(): Promise<void>;
}

/** Resolves when the server answers. Throws a KubiyaError with the end of its stderr when it does not come up. */
export declare function startDevServer(options: DevServerOptions): Promise<DevServer>;
