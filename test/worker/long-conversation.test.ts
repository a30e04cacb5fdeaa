// A conversation that outgrows its budgets, in short; `bun test/worker/conversation-long.ts` is the long form.
import { expect, test } from 'bun:test';
import { runConversation } from './conversation-run.ts';

/** Temporal refuses a payload of 2 MB, and warns at a quarter of it. */
const payloadBytesMax = 1_000_000;
/** Temporal suggests to continue as new at 4 MB; one turn may come on top. */
const historyBytesMax = 6_000_000;

test('12 turns of 90 kB outputs: everything is answered, and nothing grows past its budget', async () => {
  const sizes = await runConversation(12, 90_000);
  expect(sizes.lost).toBe(0);
  expect(sizes.runs).toBeGreaterThan(1);
  expect(sizes.payloadBytesMax).toBeLessThan(payloadBytesMax);
  expect(sizes.historyBytesMax).toBeLessThan(historyBytesMax);
  // The budget of a transcript, and the system prompt with what JSON adds.
  expect(sizes.transcriptBytesMax).toBeLessThan(450_000);
}, 90_000);
