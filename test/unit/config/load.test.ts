// Loading the configuration: precedence, every kind of value, profiles, paths, secrets.
import { afterAll, describe, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { loadConfig } from '../../../src/config/load.ts';
import { options, type CommandScope } from '../../../src/config/options.ts';
import { prepareHome, queueDirectoryName, resolvePaths, workerPaths } from '../../../src/config/paths.ts';
import { createSecret } from '../../../src/config/secret.ts';
import type { FlagValues } from '../../../src/config/sources.ts';
import { KubiyaError } from '../../../src/errors.ts';

const home = mkdtempSync(join(tmpdir(), 'kubiya-config-'));
mkdirSync(join(home, '.kubiya'));
writeFileSync(
  join(home, '.kubiya', 'config'),
  'current-context: a\ncontexts:\n  - {name: a, context: {api-url: "https://a.example", user: u}}\n  - {name: b, context: {api-url: "https://b.example"}}\nusers:\n  - {name: u, user: {token: context-token}}\n',
);
afterAll(() => rmSync(home, { recursive: true }));

function load(
  environment: Record<string, string> = {},
  flags: FlagValues = {},
  scope: CommandScope = 'worker',
  pid = 4321,
) {
  const facts = {
    environment: { KUBIYA_CONFIG: '/nowhere', ...environment },
    cwd: '/srv',
    hostname: 'host',
    userHome: home,
    pid,
  };
  return loadConfig({ scope, flags, facts });
}

async function problems(promise: Promise<unknown>): Promise<KubiyaError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof KubiyaError) return error;
  throw new Error('expected a KubiyaError', { cause: error });
}

describe('precedence', () => {
  const inHome = { KUBIYA_CONFIG: '' };
  test('flag over environment over context over default', async () => {
    expect((await load()).controlPlane.url).toBe('https://control-plane.kubiya.ai');
    expect((await load(inHome)).controlPlane.url).toBe('https://a.example');
    expect((await load({ ...inHome, CONTROL_PLANE_URL: 'https://e.example/' })).controlPlane.url).toBe(
      'https://e.example',
    );
    expect(
      (await load({ ...inHome, CONTROL_PLANE_URL: 'https://e.example' }, { 'control-plane-url': 'https://f.example' }))
        .controlPlane.url,
    ).toBe('https://f.example');
  });
  test('the three variables of the URL', async () => {
    const all = {
      KUBIYA_CONTROL_PLANE_BASE_URL: 'http://3',
      CONTROL_PLANE_URL: 'http://2',
      CONTROL_PLANE_GATEWAY_URL: 'http://1',
    };
    expect((await load(all)).controlPlane.url).toBe('http://1');
    expect((await load({ ...all, CONTROL_PLANE_GATEWAY_URL: '' })).controlPlane.url).toBe('http://2');
  });
  test('the key of the environment over a file over a context', async () => {
    const file = join(home, 'key');
    writeFileSync(file, 'file-key\n');
    expect((await load(inHome)).controlPlane.token?.reveal()).toBe('context-token');
    expect((await load({ ...inHome, KUBIYA_API_KEY_FILE: file })).controlPlane).toMatchObject({ tokenFile: file });
    expect((await load({ ...inHome, KUBIYA_API_KEY_FILE: file })).controlPlane.token?.reveal()).toBe('file-key');
    expect(
      (await load({ ...inHome, KUBIYA_API_KEY_FILE: file, KUBIYA_API_KEY: 'env-key' })).controlPlane.token?.reveal(),
    ).toBe('env-key');
  });
  test('KUBIYA_CONTEXT chooses, an unknown one is an error', async () => {
    expect((await load({ ...inHome, KUBIYA_CONTEXT: 'b' })).controlPlane).toMatchObject({
      url: 'https://b.example',
      token: undefined,
    });
    expect(await problems(load({ ...inHome, KUBIYA_CONTEXT: 'c' }))).toMatchObject({
      kind: 'configuration',
      code: 'configuration_invalid',
    });
    expect(await problems(load({ ...inHome, KUBIYA_CONTEXT: 'b' }, { context: 'c' }))).toMatchObject({
      kind: 'usage',
      message: `--context "c" is no context of ${join(home, '.kubiya/config')}; it has a, b`,
    });
  });
});

describe('profile', () => {
  test.each([
    [{}, {}, 'local', 'no KUBIYA_API_KEY is set, so the local profile is used'],
    [{ KUBIYA_API_KEY: 'k' }, {}, 'cloud', 'KUBIYA_API_KEY is set, so the Kubiya control plane is used'],
    [{ KUBIYA_API_KEY: 'k' }, { 'local-server': true }, 'local', '--local-server is set, so the local profile is used'],
    [
      { KUBIYA_API_KEY: 'k', KUBIYA_LOCAL_SERVER: 'yes' },
      {},
      'local',
      'KUBIYA_LOCAL_SERVER is set, so the local profile is used',
    ],
    [
      { KUBIYA_API_KEY: 'k', KUBIYA_LOCAL_SERVER: 'false' },
      {},
      'cloud',
      'KUBIYA_API_KEY is set, so the Kubiya control plane is used',
    ],
    [{ KUBIYA_API_KEY: '  ' }, {}, 'local', 'no KUBIYA_API_KEY is set, so the local profile is used'],
  ] as const)('%j %j', async (environment, flags, kind, reason) => {
    expect((await load(environment, flags)).profile).toEqual({ kind, reason });
  });
});

describe('values', () => {
  test('durations and seconds become milliseconds', async () => {
    const { worker } = await load({ HEARTBEAT_INTERVAL: '15', KUBIYA_DRAIN_TIMEOUT: '1m30s', ACTIVITY_TIMEOUT: '60s' });
    expect(worker).toMatchObject({ heartbeatIntervalMs: 15_000, drainTimeoutMs: 90_000, activityTimeoutMs: 60_000 });
    expect((await load()).worker).toMatchObject({
      heartbeatIntervalMs: 30_000,
      activityTimeoutMs: 600_000,
      concurrentActivitiesMax: 10,
      hostname: 'host',
    });
  });
  test('the drain default depends on who will kill us', async () => {
    expect((await load()).worker.drainTimeoutMs).toBe(30_000);
    expect((await load({ KUBERNETES_SERVICE_HOST: '10.0.0.1' }, {}, 'worker', 1)).worker.drainTimeoutMs).toBe(25_000);
    expect((await load({}, {}, 'worker', 1)).worker.drainTimeoutMs).toBe(8_000);
  });
  test('levels in any case, debug by KUBIYA_DEBUG', async () => {
    expect((await load({ LOG_LEVEL: 'WARNING' })).log.level).toBe('warn');
    expect((await load({ LOG_LEVEL: 'ERROR', KUBIYA_DEBUG: 'true' })).log.level).toBe('debug');
  });
  test('relative paths become absolute', async () => {
    expect((await load({}, { 'data-dir': 'data' }, 'server')).server.dataDirectory).toBe('/srv/data');
  });
  test.each([
    ['worker', { HEARTBEAT_INTERVAL: '14' }],
    ['worker', { HEARTBEAT_INTERVAL: '301' }],
    ['worker', { HEARTBEAT_INTERVAL: '1e2' }],
    ['worker', { KUBIYA_MAX_LOG_SIZE: '999999' }],
    ['worker', { KUBIYA_MAX_LOG_BACKUPS: '-1' }],
    ['worker', { KUBIYA_DRAIN_TIMEOUT: '30' }],
    ['worker', { LOG_FORMAT: 'xml' }],
    ['worker', { CONTROL_PLANE_URL: 'control-plane' }],
    ['worker', { CONTROL_PLANE_URL: 'ftp://x' }],
    ['exec', { KUBIYA_NON_INTERACTIVE: 'maybe' }],
    ['worker', { KUBIYA_API_KEY_FILE: '/nowhere/key' }],
  ] as const)('%s refuses %j and names the variable', async (scope, environment) => {
    const error = await problems(load(environment, {}, scope));
    expect(error).toMatchObject({ kind: 'configuration', code: 'configuration_invalid' });
    expect(error.message).toStartWith(Object.keys(environment)[0] ?? '');
  });
  test('a wrong secret is not shown', async () => {
    const withPassword = await problems(load({ CONTROL_PLANE_URL: 'https://me:url-secret@host' }));
    expect(withPassword.message).toBe('CONTROL_PLANE_URL must not hold a user name or a password');
    const file = join(home, 'empty');
    writeFileSync(file, '\n');
    const error = await problems(load({ KUBIYA_API_KEY_FILE: file }));
    expect(error.message).toContain('which is empty');
  });
  test.each([
    ['KUBIYA_API_KEY', 'first-secret\nsecond'],
    ['KUBIYA_API_KEY', 'schlüssel-secret'],
    ['KUBIYA_API_KEY_FILE', 'first-secret\r\nsecond\n'],
  ])('%s that holds %j cannot be sent, and is not shown', async (name, value) => {
    const file = join(home, 'unsendable');
    writeFileSync(file, value);
    const error = await problems(load({ [name]: name.endsWith('FILE') ? file : value }));
    expect(error).toMatchObject({ kind: 'configuration', code: 'configuration_invalid' });
    expect(error.message).toStartWith(`${name} gives a key with a line break`);
    expect(error.message).not.toContain('secret');
  });
  test('a file of Windows: a byte order mark and its line ends are no part of the key', async () => {
    const file = join(home, 'windows');
    writeFileSync(file, '\uFEFFfile-key\r\n');
    expect((await load({ KUBIYA_API_KEY_FILE: file })).controlPlane.token?.reveal()).toBe('file-key');
  });
  test('a context file with a tag says nothing: the warning would quote the token', async () => {
    const file = join(home, 'tagged');
    const users = 'users: [{name: u, user: {token: !vault tagged-secret}}]';
    writeFileSync(file, `current-context: a\ncontexts: [{name: a, context: {user: u}}]\n${users}\n`);
    const warnings: string[] = [];
    const listen = (warning: Error): unknown => warnings.push(warning.message);
    process.on('warning', listen);
    expect((await load({ KUBIYA_CONFIG: file })).controlPlane.token?.reveal()).toBe('tagged-secret');
    await Bun.sleep(10);
    process.off('warning', listen);
    expect(warnings).toEqual([]);
  });
  test('the server: exposed without a token, Temporal options without an address', async () => {
    expect((await problems(load({}, { host: '0.0.0.0' }, 'server'))).message).toContain('KUBIYA_SERVER_TOKEN_FILE');
    expect((await problems(load({}, { 'temporal-tls': true }, 'server'))).message).toBe(
      '--temporal-tls needs --temporal-address',
    );
    const file = join(home, 'server-token');
    writeFileSync(file, 'st');
    const { server } = await load(
      { KUBIYA_SERVER_TOKEN_FILE: file },
      { host: '0.0.0.0', 'temporal-address': 't:7233', 'temporal-api-key-file': file },
      'server',
    );
    expect(server).toMatchObject({
      host: '0.0.0.0',
      isPortExplicit: false,
      port: 7080,
      temporal: { address: 't:7233', namespace: 'default', isTls: true },
    });
    expect(server.token?.reveal()).toBe('st');
  });
});

test('no secret shows when a configuration is printed in any way, and nothing of it can be changed', async () => {
  const config = await load({
    KUBIYA_API_KEY: 'sk-top-secret',
    OPENAI_API_KEY: 'sk-openai',
    UNRELATED_PASSWORD: 'pw-secret',
  });
  const printed = [JSON.stringify(config), inspect(config, { depth: 9 }), String(config.controlPlane.token)].join('\n');
  expect(printed).not.toMatch(/sk-top-secret|sk-openai|pw-secret/);
  expect(config.providers.reveal()).toEqual({ OPENAI_API_KEY: 'sk-openai' });
  expect(config.childEnvironmentBase.reveal()['UNRELATED_PASSWORD']).toBe('pw-secret');
  expect(() => Object.assign(config.worker, { queue: 'x' })).toThrow(TypeError);
  expect(String(createSecret('a'))).toBe('[redacted]');
});

test('every option says what it is, and no variable, flag or short name is declared twice for one scope', () => {
  const variables = Object.values(options).flatMap((option) => ('environment' in option ? option.environment : []));
  expect(new Set(variables).size).toBe(variables.length);
  const flags = Object.values(options).flatMap((option) => ('flag' in option ? [option.flag] : []));
  expect(new Set(flags).size).toBe(flags.length);
  for (const option of Object.values(options)) expect(option.description).toMatch(/^[a-zP-T].*[^.]$/);
});

describe('paths', () => {
  test('KUBIYA_HOME, HOME, and neither', () => {
    const sources = { kubiyaHome: undefined, userHome: '/home/u', contextFile: undefined, cwd: '/srv' };
    expect(resolvePaths(sources).localTokenFile).toBe('/home/u/.kubiya/local/token');
    expect(resolvePaths({ ...sources, kubiyaHome: 'k' }).contextFile).toBe('/srv/k/config');
    expect(() => resolvePaths({ ...sources, userHome: undefined })).toThrow('HOME is not set');
    expect(() => resolvePaths({ ...sources, userHome: 'relative' })).toThrow('HOME is not an absolute path');
  });
  test('queue names become directory names that are one, safe and reversible', () => {
    expect(queueDirectoryName('my-queue_1.2')).toBe('my-queue_1.2');
    expect(queueDirectoryName('a/../b c%ü')).toBe('a%2F..%2Fb%20c%25%C3%BC');
    for (const refused of ['', '.', '..', 'x'.repeat(201)])
      expect(() => queueDirectoryName(refused)).toThrow(KubiyaError);
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 16 }), (name) => {
        // A byte takes three characters at most, and a name of more than 200 is refused above.
        fc.pre(name !== '.' && name !== '..' && Buffer.byteLength(name) <= 66);
        const directory = queueDirectoryName(name);
        expect(directory).toMatch(/^[A-Za-z0-9._%-]+$/);
        expect(decodeURIComponent(directory)).toBe(name);
      }),
    );
    expect(
      workerPaths(resolvePaths({ kubiyaHome: '/k', userHome: undefined, contextFile: undefined, cwd: '/' }), 'a/b')
        .logFile,
    ).toBe('/k/workers/a%2Fb/logs/worker.log');
  });
  test('prepareHome makes it 0700 and says which directory it cannot write', () => {
    const at = (kubiyaHome: string) =>
      resolvePaths({ kubiyaHome, userHome: undefined, contextFile: undefined, cwd: '/' });
    prepareHome(at(join(home, 'new', 'deep')));
    expect(statSync(join(home, 'new', 'deep')).mode & 0o777).toBe(0o700);
    const file = join(home, 'a-file');
    writeFileSync(file, '');
    expect(() => prepareHome(at(join(file, 'x')))).toThrow(`the directory ${join(file, 'x')} cannot be written`);
    chmodSync(file, 0o600);
    expect(existsSync('/proc/kubiya')).toBe(false);
    expect(() => prepareHome(at('/proc/kubiya'))).toThrow('cannot be written');
  });
});
