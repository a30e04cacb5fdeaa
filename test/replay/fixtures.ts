// Where the recorded histories are and the key that their payloads are signed with.
import { join } from 'node:path';

export const historiesDirectory = join(import.meta.dirname, '../fixtures/histories');

/** Known, so that the histories can be replayed anywhere; it signs nothing else. */
export const fixtureSigningKey = new Uint8Array(32).fill(11);
