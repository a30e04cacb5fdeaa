// What works and should not stay as it is: sentences that the command line says once at its start.
import { isLoopback } from '../lib/loopback.ts';
import type { ProviderCredentials, ProviderVariableName } from '../protocol/providers.ts';
import type { Config, Origin } from './config.ts';
import type { FoundContext } from './find-context.ts';
import { type CommandScope, options } from './options.ts';

export interface WarningFacts {
  readonly scope: CommandScope;
  /** Where the key of the control plane comes from. */
  readonly keyOrigin: Origin;
  /** Where the name of the context comes from. */
  readonly contextOrigin: Origin;
  readonly config: Pick<Config, 'profile' | 'controlPlane' | 'providers'>;
  readonly found: FoundContext;
}

export function warningsOf({ scope, keyOrigin, contextOrigin, config, found }: WarningFacts): readonly string[] {
  const { profile, controlPlane, providers } = config;
  const warnings: string[] = [];
  if (keyOrigin.kind === 'context' && found.isReadableByOthers)
    warnings.push(`other users of this machine can read the token in ${found.path}: end that with chmod 600`);
  if (contextOrigin.kind === 'flag' && keyOrigin.kind === 'environment' && found.context?.token !== undefined)
    warnings.push(`${keyOrigin.name} comes before the token of the context ${found.context.name}`);
  if (profile.kind === 'cloud' && controlPlane.token !== undefined && isOpen(controlPlane.url))
    warnings.push(`the key is sent to ${controlPlane.url} without encryption, because that URL is not https`);
  if (scope === 'show' || options.model.scopes.some((working) => working === scope))
    warnings.push(...modelWarnings(providers.reveal()));
  return warnings;
}

const servers: readonly (readonly [address: ProviderVariableName, key: ProviderVariableName])[] = [
  ['LITELLM_API_BASE', 'LITELLM_API_KEY'],
  ['ANTHROPIC_BASE_URL', 'ANTHROPIC_API_KEY'],
  ['OPENAI_BASE_URL', 'OPENAI_API_KEY'],
];

/** Only where a key goes along: a server without one is often in the next room. */
function modelWarnings(providers: ProviderCredentials): readonly string[] {
  return servers.flatMap(([address, key]) =>
    isOpen(providers[address] ?? '') && providers[key] !== undefined
      ? [`${key} is sent without encryption, because ${address} is not https`]
      : [],
  );
}

function isOpen(url: string): boolean {
  return /^http:/i.test(url) && !isLoopback(url);
}
