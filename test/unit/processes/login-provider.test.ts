// A token endpoint that never ends its answer.
import { expect, test } from 'bun:test';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exchangeCode } from '../../../src/processes/login-provider.ts';

test.each([
  ['says nothing', false],
  ['stops in the middle', true],
])('a provider that %s is given up after the limit', async (_what, hasBegun) => {
  const server = createServer((_request, response) => void (hasBegun && response.writeHead(200).write('{')));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const attempt = {
    issuer,
    clientId: 'c',
    audience: 'a',
    port: 1,
    redirectUri: 'http://127.0.0.1:1/callback',
    state: 's',
    nonce: 'n',
    codeVerifier: 'v',
  };
  const startMs = performance.now();
  const error: unknown = await exchangeCode(attempt, 'code', fetch, 150).catch((reason: unknown) => reason);
  server.closeAllConnections();
  server.close();
  expect(error).toMatchObject({ kind: 'network', message: `could not reach ${issuer}: no answer within 0.15 s` });
  expect(performance.now() - startMs).toBeLessThan(3_000);
});
