// Identifiers that nobody can guess and nobody else has.
import { randomUUID } from 'node:crypto';

/** A random UUID (version 4), lower case. */
export function createId(): string {
  return randomUUID();
}
