// The only door to Temporal's client: connects, starts, signals, cancels and describes executions, and translates its errors.

export interface TemporalTarget {
  /** `host:port`. */
  readonly address: string;
  readonly namespace: string;
  readonly apiKey?: string | undefined;
  /** True, or PEM texts; an API key alone implies TLS. */
  readonly tls?: boolean | TemporalTls | undefined;
  /** A dev server on this machine: short workflow-task timeout, fast reconnects. */
  readonly isLocal: boolean;
}

export interface TemporalTls {
  readonly serverRootCa?: string | undefined;
  readonly serverName?: string | undefined;
  readonly clientCertificate?: string | undefined;
  readonly clientKey?: string | undefined;
}

/** Resolves when the namespace answers; rejects otherwise. Tried again by `startDevServer` until it does. */
export declare function probeTemporal(target: TemporalTarget): Promise<void>;
