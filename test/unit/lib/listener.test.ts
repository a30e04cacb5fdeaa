// Whose port it is, asked of real listeners.
import { expect, test } from 'bun:test';
import { createServer } from 'node:net';
import { isListeningOn } from '../../../src/lib/listener.ts';

test('a port belongs to the process that listens on it, and to no other', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const other = Bun.spawn(['sleep', '60']);
  try {
    expect(isListeningOn(process.pid, port)).toBe(true);
    expect(isListeningOn(other.pid, port)).toBe(false);
  } finally {
    other.kill();
    await other.exited;
    await new Promise((resolve) => server.close(resolve));
  }
  expect(isListeningOn(process.pid, port)).toBe(false);
  expect(isListeningOn(other.pid, port)).toBeUndefined();
});
