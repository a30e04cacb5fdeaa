// The only reader of the process environment: raw values tagged with where they came from.
import { homedir, hostname } from 'node:os';
import * as v from 'valibot';
import { readTextFile } from '../lib/bounded-file.ts';
import {
  type SupervisedBy,
  startDirectoryVariable,
  supervisedBySchema,
  supervisedByVariable,
} from '../protocol/instance.ts';
import { providerVariableNames, type ProviderCredentials } from '../protocol/providers.ts';
import type { Context, Located } from './context-file.ts';
import { optionEntries, type RawConfig, type RawValue } from './options.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What this process was started with; tests give their own. */
export interface ProcessFacts {
  readonly environment: Environment;
  readonly cwd: string;
  readonly hostname: string;
  readonly userHome: string | undefined;
  readonly pid: number;
}

export function processFacts(): ProcessFacts {
  const environment = { ...process.env };
  return {
    environment,
    cwd: given(environment, startDirectoryVariable) ?? process.cwd(),
    hostname: hostname(),
    // The variable, as every Unix tool does; on Windows the profile directory.
    userHome: process.platform === 'win32' ? homedir() : given(environment, 'HOME'),
    pid: process.pid,
  };
}

/** Flags as the command line parsed them: text, or true for a switch. */
export type FlagValues = Readonly<Record<string, string | boolean | undefined>>;

/** The first source that has an option wins: flag, then environment in the declared order, then context. */
export function readSources(flags: FlagValues, environment: Environment, context: Context | undefined): RawConfig {
  const raw: Partial<Record<keyof RawConfig, RawValue>> = {};
  const contextValues: Readonly<Record<string, Located | undefined>> = {
    'api-url': context?.url,
    token: context?.token,
  };
  for (const [name, option] of optionEntries()) {
    const flagName = [option.flag, ...(option.flagAliases ?? [])].find(
      (flag) => flag !== undefined && flags[flag] !== undefined,
    );
    const variable = option.environment?.find((candidate) => given(environment, candidate) !== undefined);
    const fromContext = option.contextKey === undefined ? undefined : contextValues[option.contextKey];
    if (flagName !== undefined)
      raw[name] = { value: String(flags[flagName]), origin: { kind: 'flag', name: `--${flagName}` } };
    else if (variable !== undefined)
      raw[name] = { value: given(environment, variable) ?? '', origin: { kind: 'environment', name: variable } };
    else if (fromContext !== undefined)
      raw[name] = {
        value: fromContext.value,
        origin: { kind: 'context', name: context?.name ?? '', location: fromContext.location },
      };
  }
  return raw;
}

export function readProviders(environment: Environment): ProviderCredentials {
  return Object.fromEntries(
    providerVariableNames.flatMap((name) => {
      const value = given(environment, name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** Set by our own supervisor and by nobody else; anything else in it counts as not set. */
export function readSupervisedBy(environment: Environment): SupervisedBy | undefined {
  const text = given(environment, supervisedByVariable);
  if (text === undefined) return undefined;
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), supervisedBySchema), text);
  return parsed.success ? parsed.output : undefined;
}

/** True where the kernel or Kubernetes tells that we are in a container. */
export function containerKind(facts: ProcessFacts): 'kubernetes' | 'container' | 'none' {
  if (given(facts.environment, 'KUBERNETES_SERVICE_HOST') !== undefined) return 'kubernetes';
  return facts.pid === 1 ? 'container' : 'none';
}

/** What the file holds, trimmed; throws the system's error. */
export function readSecretFile(path: string): string {
  return readTextFile(path).trim();
}

/** An empty variable counts as not set: that is how a compose file or a CI job leaves one out. */
export function given(environment: Environment, name: string): string | undefined {
  const value = environment[name];
  return value === undefined || value.trim() === '' ? undefined : value;
}
