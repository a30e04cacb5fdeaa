// Every connection of the program through a proxy of the network, with its credentials, and over TLS of a private authority.
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import { type AddressInfo, connect } from 'node:net';
import { createServer as createTlsServer, type Server } from 'node:tls';
import { createHome, type Home } from '../support/binary.ts';
import { type Certificates, createCertificates } from '../support/certificates.ts';
import { type IdentityProvider, startIdentityProvider } from '../support/identity-provider.ts';
import { startScriptedOpenAi } from '../support/model-servers.ts';
import { type RecordingProxy, startProxy } from '../support/proxy.ts';
import { type CommandResult, runCommand } from '../support/run-binary.ts';
import { type ScriptedControlPlane, startScriptedControlPlane } from '../support/scripted-control-plane.ts';
import { until } from '../support/until.ts';

/** The first test may have to build the binary. */
setDefaultTimeout(60_000);

const limitMs = 60_000;
const credentials = 'me:p@ss word';
const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
let home: Home;
let plane: ScriptedControlPlane;
let proxy: RecordingProxy;
let url: string;
let trusted: Certificates;
let other: Certificates;
let tls: Server;

beforeAll(async () => {
  home = createHome();
  plane = await startScriptedControlPlane();
  proxy = await startProxy({ credentials });
  url = `http://me:p%40ss%20word@127.0.0.1:${proxy.port}`;
  trusted = createCertificates(home.directory, ['plane.test', 'llm.test', 'idp.test'], 'trusted');
  other = createCertificates(home.directory, ['other.test'], 'other');
  const planePort = Number(new URL(plane.url).port);
  proxy.places.set('plane.test:80', { port: planePort });
  // What is inside the TLS goes on as it is.
  tls = createTlsServer({ key: trusted.key, cert: trusted.certificate }, (socket) => {
    const upstream = connect(insidePort, '127.0.0.1');
    for (const end of [socket, upstream]) end.on('error', () => [socket, upstream].forEach((one) => one.destroy()));
    socket.pipe(upstream).pipe(socket);
  });
  insidePort = planePort;
  await new Promise<void>((done) => tls.listen(0, '127.0.0.1', () => done()));
  const place = { port: (tls.address() as AddressInfo).port };
  for (const name of ['plane.test:443', 'llm.test:443', 'idp.test:443']) proxy.places.set(name, place);
});
/** Where the TLS server hands on to. */
let insidePort: number;
beforeEach(() => void proxy.requests.splice(0));
afterAll(async () => {
  await plane.stop();
  await proxy.stop();
  tls.close();
  home.remove();
});

function list(environment: Readonly<Record<string, string>>): Promise<CommandResult> {
  const CONTROL_PLANE_URL = environment['CONTROL_PLANE_URL'] ?? 'http://plane.test';
  return runCommand(['agent', 'list'], {
    home,
    environment: { KUBIYA_API_KEY: plane.token, ...environment, CONTROL_PLANE_URL },
  });
}

test.each(['HTTP_PROXY', 'http_proxy'])('the control plane over plain HTTP by %s', async (name) => {
  const result = await list({ [name]: url });
  expect(result.stdout.split('\n')).toHaveLength(3);
  expect(proxy.requests).toEqual([{ method: 'GET', target: 'plane.test:80', authorization }]);
  expect(result.stderr).toContain('warning: the key is sent to http://plane.test without encryption');
  expect(result.stderr).not.toContain('word');
});

test.each(['HTTPS_PROXY', 'https_proxy'])('the control plane over TLS of an own authority by %s', async (name) => {
  const environment = { CONTROL_PLANE_URL: 'https://plane.test', KUBIYA_CA_FILE: trusted.authorityFile };
  const result = await list({ [name]: url, ...environment });
  expect(result.stderr).toBe('');
  expect(result.stdout.split('\n')).toHaveLength(3);
  expect(proxy.requests).toEqual([{ method: 'CONNECT', target: 'plane.test:443', authorization }]);
});

test('an authority that does not fit, and none: one sentence with the remedy', async () => {
  for (const environment of [{ KUBIYA_CA_FILE: other.authorityFile }, {}]) {
    const result = await list({ CONTROL_PLANE_URL: 'https://plane.test', HTTPS_PROXY: url, ...environment });
    expect(result.code).toBe(5);
    expect(result.stderr).toMatch(
      /^error: the certificate of https:\/\/plane\.test is not trusted \(\w+\)\nhint: set KUBIYA_CA_FILE to the PEM file of your certificate authority\n$/,
    );
  }
});

test('files of authorities that are none', async () => {
  for (const [file, words] of [
    ['/nowhere.pem', 'KUBIYA_CA_FILE: the file of certificate authorities /nowhere.pem cannot be used'],
    ['/dev/null', 'it holds no certificate in PEM form'],
    [home.directory, 'is a directory'],
  ] as const) {
    const result = await list({ KUBIYA_CA_FILE: file, HTTP_PROXY: url });
    expect(result.code).toBe(6);
    expect(result.stderr).toContain(words);
  }
  // SSL_CERT_FILE is not ours, and nothing here needs it.
  expect((await list({ SSL_CERT_FILE: '/nowhere.pem', HTTP_PROXY: url })).code).toBe(0);
});

test.each([
  ['NO_PROXY', '.test'],
  ['no_proxy', 'x.example,plane.test:80'],
])(
  '%s=%s: the proxy is not asked',
  async (name, value) => {
    const result = await list({ HTTP_PROXY: url, [name]: value });
    expect(proxy.requests).toEqual([]);
    expect(result.code).toBe(5);
    expect(result.stderr).toContain('could not reach http://plane.test: the host was not found');
  },
  limitMs,
);

test.each(['plane.test:8080', 'other.test', 'lane.test', '10.0.0.0/8'])('NO_PROXY=%s: it is', async (NO_PROXY) => {
  expect((await list({ HTTP_PROXY: url, NO_PROXY })).code).toBe(0);
  expect(proxy.requests).toHaveLength(1);
});

test('a server on this machine is reached directly', async () => {
  expect((await list({ HTTP_PROXY: 'http://127.0.0.1:1', CONTROL_PLANE_URL: plane.url })).code).toBe(0);
});

test(
  'a proxy that is not there, or that wants other credentials, is named',
  async () => {
    const gone = await list({ HTTP_PROXY: '127.0.0.1:1' });
    expect(gone.code).toBe(5);
    expect(gone.stderr).toContain(
      'could not reach http://plane.test: connection refused (through the proxy 127.0.0.1:1)',
    );
    const wrong = `http://me:wrong-password@127.0.0.1:${proxy.port}`;
    const plain = await list({ HTTP_PROXY: wrong });
    expect(plain.code).toBe(5);
    expect(plain.stderr).toContain('hint: check the user name and the password in HTTP_PROXY and HTTPS_PROXY');
    const tunnel = await list({ HTTPS_PROXY: wrong, CONTROL_PLANE_URL: 'https://plane.test' });
    expect(tunnel.code).toBe(5);
    expect(tunnel.stderr).toContain(`407 Proxy Authentication Required (through the proxy 127.0.0.1:${proxy.port})`);
    expect(plain.stderr + tunnel.stderr).not.toContain('wrong-password');
  },
  limitMs,
);

test(
  'a model behind the proxy and TLS of an own authority, with a wrong one said at once',
  async () => {
    const model = await startScriptedOpenAi([{ type: 'text', text: 'hello from behind' }]);
    insidePort = Number(new URL(model.url).port);
    const run = (KUBIYA_CA_FILE: string): Promise<CommandResult> =>
      runCommand(['exec', '--local', '--yes', 'hi'], {
        home,
        environment: {
          OPENAI_BASE_URL: 'https://llm.test/v1',
          OPENAI_API_KEY: 'sk-model-key',
          KUBIYA_MODEL: 'openai/gpt-test',
          HTTPS_PROXY: url,
          KUBIYA_CA_FILE,
        },
      });
    const failed = await run(other.authorityFile);
    expect(failed.code).toBe(1);
    expect(failed.stderr + failed.stdout).toContain('set KUBIYA_CA_FILE to the PEM file of your certificate authority');
    proxy.requests.splice(0);
    const result = await run(trusted.authorityFile);
    expect(result.stdout).toContain('hello from behind');
    expect(proxy.requests[0]).toEqual({ method: 'CONNECT', target: 'llm.test:443', authorization });
    await model.stop();
  },
  limitMs,
);

test('the token of a login', async () => {
  const provider: IdentityProvider = await startIdentityProvider();
  insidePort = Number(new URL(provider.url).port);
  const result = await runCommand(['login', '--no-browser'], {
    home,
    environment: {
      KUBIYA_LOGIN_ISSUER: 'https://idp.test',
      KUBIYA_LOGIN_PORT: '39017',
      KUBIYA_CA_FILE: trusted.authorityFile,
      HTTPS_PROXY: url,
    },
    during: async (_child, printed) => {
      await until(() => printed().stderr.includes('sign in at'), { limitMs: 20_000, what: () => 'the address' });
      const { redirect } = provider.signIn(/sign in at (\S+)/.exec(printed().stderr)?.[1] ?? '');
      await fetch(redirect);
    },
  });
  expect(result.code).toBe(0);
  expect(proxy.requests).toEqual([{ method: 'CONNECT', target: 'idp.test:443', authorization }]);
  await provider.stop();
});
