// The error for a machine on which the native part of the Temporal SDK does not load.
import { KubiyaError } from '../errors.ts';

/** `reason` is a clause, of whoever tried to load it. */
export function addonUnloadable(reason: string, hint: string): KubiyaError {
  return new KubiyaError(`the native part of the Temporal SDK cannot be loaded here: ${reason}`, {
    kind: 'configuration',
    code: 'addon_unloadable',
    hint,
  });
}
