// Which way a URL is reached.
import { describe, expect, test } from 'bun:test';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createFetch, proxyFor, readAuthorities } from '../../../src/lib/network.ts';

const settings = {
  httpProxy: 'http://one:3128',
  httpsProxy: 'http://two:3128',
  noProxy: undefined,
  caFile: undefined,
};

describe('the proxy', () => {
  test.each([
    ['http://plane.example/x', 'http://one:3128'],
    ['https://plane.example/x', 'http://two:3128'],
    ['http://127.0.0.1:7080', undefined],
    ['https://localhost', undefined],
    ['http://[::1]:1', undefined],
    ['nonsense', undefined],
  ])('of %s', (url, proxy) => expect(proxyFor(settings, url)).toBe(proxy));

  test.each([
    ['*', 'https://a.example', true],
    ['a.example', 'https://a.example', true],
    ['A.Example', 'https://a.EXAMPLE', true],
    ['a.example.', 'https://a.example', true],
    ['a.example', 'https://a.example.', true],
    ['example', 'https://a.example', true],
    ['.example', 'https://a.example', true],
    ['*.a.example', 'https://b.a.example', true],
    ['.a.example', 'https://a.example', true],
    ['ample', 'https://a.example', false],
    ['b.example', 'https://a.example', false],
    ['x, a.example ,y', 'https://a.example', true],
    ['x a.example', 'https://a.example', true],
    ['a.example:443', 'https://a.example', true],
    ['a.example:443', 'https://a.example:8443', false],
    ['a.example:80', 'http://a.example', true],
    ['example:8443', 'https://a.example:8443', true],
    ['10.0.0.0/8', 'https://10.200.1.1', true],
    ['10.0.0.0/8', 'https://11.0.0.1', false],
    ['10.0.0.0/33', 'https://10.0.0.1', false],
    ['10.0.0.0/x', 'https://10.0.0.1', false],
    ['10.0.0.1', 'https://10.0.0.1', true],
    ['a.example/8', 'https://a.example', false],
    ['fd00::/8', 'https://[fd12::1]', true],
    ['fd00::/8', 'https://[fe80::1]', false],
    ['fd12::1', 'https://[fd12::1]', true],
    ['[fd12::1]:443', 'https://[fd12::1]', true],
    ['[fd12::1]:444', 'https://[fd12::1]', false],
    [' , ', 'https://a.example', false],
    ['.', 'https://a.example', false],
  ])('NO_PROXY=%p and %s: excluded is %p', (noProxy, url, isExcluded) => {
    expect(proxyFor({ ...settings, noProxy }, url) === undefined).toBe(isExcluded);
  });

  test('what the runtime reads from the environment does not count', async () => {
    const server = createServer((_request, response) => response.end('direct'));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const script = `
      import { createFetch } from ${JSON.stringify(new URL('../../../src/lib/network.ts', import.meta.url).pathname)};
      const none = { httpProxy: undefined, httpsProxy: undefined, noProxy: undefined, caFile: undefined };
      process.stdout.write(await (await createFetch(none)(${JSON.stringify(url)})).text());`;
    const child = Bun.spawn(['bun', '-e', script], {
      env: { PATH: process.env['PATH'], http_proxy: 'http://127.0.0.1:1', HTTP_PROXY: 'http://127.0.0.1:1' },
      stdout: 'pipe',
    });
    expect(await new Response(child.stdout).text()).toBe('direct');
    server.close();
  });
});

describe('authorities', () => {
  test('none without a file, ours besides the usual ones with one, a sentence for a wrong one', async () => {
    expect(readAuthorities({ caFile: undefined })).toBeUndefined();
    const failing = createFetch({ ...settings, httpsProxy: undefined, caFile: import.meta.path });
    const error: unknown = await failing('https://127.0.0.1:1').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ kind: 'configuration', code: 'ca_file_unreadable' });
    expect(String(error)).toContain('it holds no certificate in PEM form');
  });
});
