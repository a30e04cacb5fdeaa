// The model `kubiya/offline`: runs the commands that the prompt names in backticks through the real tools, without a network.
import type { ModelClient } from '../protocol/model.ts';

export const offlineModelId = 'kubiya/offline';

/** Deterministic given the transcript; its final answer carries `verdict`, which decides how the execution ends. */
export declare function createOfflineModel(): ModelClient;
