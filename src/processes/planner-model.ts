// The language model that the embedded control plane plans with: what the configuration names, else the provider it finds.
import type { Config } from '../config/config.ts';
import { KubiyaError } from '../errors.ts';
import { offlineModelId } from '../gateway/offline.ts';
import { discoverProvider, resolveModel } from '../gateway/providers.ts';
import { createFetch } from '../lib/network.ts';
import type { FindPlannerModel } from '../server/planner.ts';

export function plannerModelOf(config: Config): FindPlannerModel {
  const fetchModel = createFetch(config.network);
  const credentials = config.providers.reveal();
  return async (asked, signal) => {
    try {
      const id = asked ?? config.model ?? (await discoverProvider(credentials, signal, fetchModel));
      if (id === offlineModelId) return { kind: 'none', reason: `${offlineModelId} is no language model` };
      const { client, model } = resolveModel(id, credentials, fetchModel);
      return { kind: 'model', client, model };
    } catch (error) {
      // A model that only the worker can reach, or none at all: the rules plan as well.
      if (error instanceof KubiyaError) return { kind: 'none', reason: lowerFirst(error.message) };
      throw error;
    }
  };
}

/** It continues a sentence. */
function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
