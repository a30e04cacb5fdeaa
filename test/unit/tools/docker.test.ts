// The docker tools against a program named docker that writes down how it was started.
import { describe, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ToolContext } from '../../../src/tools/tool.ts';
import { createToolset } from '../../../src/tools/toolset.ts';
import { type Bench, createBench, skill, toolOf, until } from './support.ts';

interface Engine {
  readonly context: ToolContext;
  /** Every start of docker so far, each argument in brackets. */
  calls(): string[];
  /** What `docker ps` and the look at a container's owner print. */
  running(ids: string): void;
  owner(executionId: string): void;
}

function engineOf(bench: Bench, changes: Partial<ToolContext> = {}): Engine {
  const directory = bench.path('..', 'bin');
  mkdirSync(directory, { recursive: true });
  const file = (name: string): string => join(directory, name);
  writeFileSync(
    file('docker'),
    `#!/bin/sh
{ for word; do printf '[%s]' "$word"; done; echo; } >> '${file('calls')}'
case "$*" in
  *'ps --quiet'*) cat '${file('running')}' 2>/dev/null || true ;;
  *'--format'*) cat '${file('owner')}' 2>/dev/null || true ;;
  'rm '*) ;;
  *slow*) exec sleep 20 ;;
  *) echo ran ;;
esac
`,
  );
  chmodSync(file('docker'), 0o755);
  const context = bench.context(changes);
  return {
    context: {
      ...context,
      environment: { ...context.environment, PATH: `${directory}:${context.environment['PATH']}` },
    },
    calls: () => (existsSync(file('calls')) ? readFileSync(file('calls'), 'utf8').trimEnd().split('\n') : []),
    running: (ids) => writeFileSync(file('running'), ids),
    owner: (executionId) => writeFileSync(file('owner'), `${executionId}\n`),
  };
}

async function use(name: string, given: object, configuration: Record<string, unknown> = {}, owner = 'execution-1') {
  await using bench = createBench();
  const engine = engineOf(bench);
  engine.owner(owner);
  const result = await toolOf(name, 'docker', configuration).run(JSON.stringify(given), engine.context);
  return { ...result, calls: engine.calls() };
}

const names = (configuration: Record<string, unknown>): string[] =>
  Array.from(createToolset([skill('docker', configuration)]).tools.keys()).filter(
    (name) => name !== 'wait_for_approval',
  );

describe('running a container', () => {
  test('[run_container] is bounded, labelled, without network and new privileges', async () => {
    const { status, calls } = await use('run_container', { image: 'alpine:3', command: ['echo', '--privileged'] });
    expect(status).toBe('success');
    expect(calls).toEqual([
      '[ps][--quiet][--filter][label=ai.kubiya.execution=execution-1]',
      '[run][--name][kubiya-execution-1-1-call-1][--label][ai.kubiya.execution=execution-1][--rm][--init]' +
        '[--security-opt][no-new-privileges][--pids-limit][512][--network][none][alpine:3][echo][--privileged]',
    ]);
  });

  test('what it may be given arrives as single words', async () => {
    const given = {
      image: 'ghcr.io/acme/tool@sha256:' + 'a'.repeat(64),
      name: 'web',
      environment: { TEXT: 'a b; $(id) --privileged' },
      volumes: { data: '/var/lib/data' },
      ports: { 8080: '80' },
      network: 'mine',
      memory_mb: 64,
      detach: true,
    };
    const { calls } = await use('run_container', given, { variant: 'full_control' });
    expect(calls[1]).toContain('[--name][web]');
    expect(calls[1]).toContain('[--detach]');
    expect(calls[1]).toContain('[--network][mine][--memory][64m][--env][TEXT=a b; $(id) --privileged]');
    expect(calls[1]).toContain('[--publish][127.0.0.1:8080:80][--mount][type=volume,src=data,dst=/var/lib/data]');
  });

  test.each([
    { image: '--privileged' },
    { image: '-v' },
    { image: 'alpine --privileged' },
    { image: 'alpine\n--privileged' },
    { image: '' },
    { image: 'alpine', name: '--privileged' },
    { image: 'alpine', privileged: true },
    { image: 'alpine', args: ['--privileged'] },
    { image: 'alpine', volumes: { '/': '/host' } },
    { image: 'alpine', volumes: { '/var/run/docker.sock': '/s' } },
    { image: 'alpine', volumes: { './x': '/s' } },
    { image: 'alpine', volumes: { 'a,type=bind': '/s' } },
    { image: 'alpine', volumes: { data: '/s,readonly,type=bind,src=/' } },
    { image: 'alpine', volumes: { data: 'relative' } },
    { image: 'alpine', network: 'container:other' },
    { image: 'alpine', network: 'host' },
    { image: 'alpine', network: '--pid=host' },
    { image: 'alpine', ports: { '0.0.0.0:80': '80' } },
    { image: 'alpine', ports: { 80: '80/tcp,--privileged' } },
    { image: 'alpine', environment: { 'A=B --privileged': 'x' } },
    { image: 'alpine', memory_mb: -1 },
    { image: 'alpine', command: 'echo hi' },
    { image: 'alpine', pid: 'host' },
    { image: 'alpine', devices: ['/dev/sda'] },
  ])('%p is refused before docker is started', async (given) => {
    const { status, calls } = await use('run_container', given, { variant: 'full_control' });
    expect(status).toBe('failed');
    expect(calls).toEqual([]);
  });

  test('[docker.network_access] without it neither ports nor networks', async () => {
    for (const given of [{ ports: { 80: '80' } }, { network: 'mine' }]) {
      const { status, output, calls } = await use('run_container', { image: 'alpine', ...given });
      expect({ status, calls }).toEqual({ status: 'failed', calls: [] });
      expect(output).toContain('no network');
    }
    expect((await use('run_container', { image: 'alpine' }, { network_access: true })).calls[1]).toContain(
      '[--network][bridge]',
    );
    expect(names({})).not.toContain('create_network');
    expect(names({ network_access: true })).toContain('create_network');
  });

  test('[docker.volume_management] without it no volumes', async () => {
    const { status, calls } = await use('run_container', { image: 'alpine', volumes: { data: '/d' } });
    expect({ status, calls }).toEqual({ status: 'failed', calls: [] });
    expect(names({})).not.toContain('create_volume');
    expect(names({ volume_management: true })).toContain('create_volume');
  });

  test('[docker.max_containers] counts the containers of the execution', async () => {
    await using bench = createBench();
    const engine = engineOf(bench);
    const tool = toolOf('run_container', 'docker', { max_containers: 2 });
    engine.running('one\ntwo\n');
    const full = await tool.run('{"image":"alpine"}', engine.context);
    expect(full.output).toContain('2 containers of this execution run already');
    expect(engine.calls()).toHaveLength(1);
    engine.running('one\n');
    expect((await tool.run('{"image":"alpine"}', engine.context)).status).toBe('success');
  });

  test('one that is stopped is removed, and not one of another execution whose name it was given', async () => {
    for (const [owner, last] of [
      ['execution-1', '[rm][--force][web]'],
      ['execution-2', expect.stringMatching(/^\[inspect\].*\[web\]$/)],
    ] as const) {
      await using bench = createBench();
      const controller = new AbortController();
      const engine = engineOf(bench, { signal: controller.signal });
      engine.owner(owner);
      const running = toolOf('run_container', 'docker').run('{"image":"slow","name":"web"}', engine.context);
      await until(() => engine.calls().length === 2);
      controller.abort();
      expect((await running).status).toBe('cancelled');
      expect(engine.calls().at(-1)).toEqual(last);
    }
  });
});

test('[docker.allowed_registries] holds the registry of every image, and nothing is built', async () => {
  const registries = { allowed_registries: ['ghcr.io/acme', 'docker.io/library'] };
  for (const image of ['alpine', 'docker.io/library/alpine:3', 'index.docker.io/library/alpine', 'ghcr.io/acme/x:1']) {
    expect({ image, status: (await use('pull_image', { image }, registries)).status }).toEqual({
      image,
      status: 'success',
    });
  }
  for (const image of [
    'evil/alpine',
    'ghcr.io/acmeevil/x',
    'ghcr.io/other/x',
    'ghcr.io:444/acme/x',
    'localhost/acme/x',
    'evil.example/ghcr.io/acme/x',
    'ghcr.io.evil.example/acme/x',
  ]) {
    for (const tool of ['pull_image', 'run_container']) {
      const { status, calls } = await use(tool, { image }, registries);
      expect({ image, tool, status, calls }).toEqual({ image, tool, status: 'failed', calls: [] });
    }
  }
  expect(names(registries)).not.toContain('build_image');
  expect(names({})).toContain('build_image');
});

describe('containers of others', () => {
  const touching: readonly (readonly [string, object, string])[] = [
    ['inspect_container', {}, '[inspect][--type][container][c1]'],
    ['get_container_logs', {}, '[logs][--tail][200][c1]'],
    ['start_container', {}, '[start][c1]'],
    ['stop_container', {}, '[stop][c1]'],
    ['remove_container', {}, '[rm][--force][--volumes][c1]'],
    ['exec_in_container', { command: ['sh', '-c', 'id'] }, '[exec][c1][sh][-c][id]'],
  ];
  test.each(touching)('[%s] [docker.all_containers] only what the execution started', async (name, rest, argv) => {
    const given = { container: 'c1', ...rest };
    const own = await use(name, given);
    expect(own.calls.at(-1)).toBe(argv);
    const foreign = await use(name, given, {}, 'execution-2');
    expect(foreign.output).toBe('c1 was not started by this execution');
    expect(foreign.calls).toHaveLength(1);
    const all = await use(name, given, { all_containers: true }, 'execution-2');
    expect(all.calls).toEqual([argv]);
    for (const container of ['--all', '-f', 'a b', '', 'a/b', '../x']) {
      const refused = await use(name, { ...given, container }, { all_containers: true });
      expect(refused).toMatchObject({ status: 'failed', calls: [] });
    }
  });

  test('[list_containers] shows the own ones', async () => {
    expect((await use('list_containers', { all: true })).calls).toEqual([
      '[ps][--no-trunc][--all][--filter][label=ai.kubiya.execution=execution-1]',
    ]);
    expect((await use('list_containers', {}, { all_containers: true })).calls).toEqual(['[ps][--no-trunc]']);
  });
});

describe('images, volumes, networks', () => {
  test.each([
    ['list_images', {}, '[images][--digests]'],
    ['inspect_image', { image: 'a' }, '[inspect][--type][image][a]'],
    ['pull_image', { image: 'a' }, '[pull][--quiet][a]'],
    ['remove_image', { image: 'a' }, '[rmi][a]'],
    ['list_volumes', {}, '[volume][ls]'],
    ['create_volume', { name: 'a' }, '[volume][create][a]'],
    ['remove_volume', { name: 'a' }, '[volume][rm][a]'],
    ['list_networks', {}, '[network][ls]'],
    ['create_network', { name: 'a' }, '[network][create][--driver][bridge][a]'],
    ['remove_network', { name: 'a' }, '[network][rm][a]'],
  ])('[%s] is one call of docker', async (name, given, argv) => {
    expect((await use(name, given, { variant: 'full_control' })).calls).toEqual([argv]);
    for (const bad of [
      { name: '--driver=x', image: '--all' },
      { name: 'a', image: 'a', opt: 'type=none' },
    ]) {
      expect(await use(name, bad, { variant: 'full_control' })).toMatchObject({ status: 'failed', calls: [] });
    }
  });

  test('[build_image] builds a directory of the workspace, and no other', async () => {
    await using bench = createBench();
    const engine = engineOf(bench);
    mkdirSync(bench.path('app'));
    symlinkSync('/etc', bench.path('link'));
    writeFileSync(bench.path('file'), '');
    const tool = toolOf('build_image', 'docker');
    const build = (given: object) => tool.run(JSON.stringify({ tag: 'app:1', ...given }), engine.context);
    expect((await build({ directory: 'app' })).status).toBe('success');
    expect(engine.calls()).toEqual([`[build][--tag][app:1][--network][none][${bench.path('app')}]`]);
    for (const directory of ['..', '/', 'link', 'file', 'none', 'https://x/y.git', '-']) {
      expect({ directory, status: (await build({ directory })).status }).toEqual({ directory, status: 'failed' });
    }
    expect((await build({ directory: 'app', dockerfile: '/etc/passwd' })).status).toBe('failed');
    expect(engine.calls()).toHaveLength(1);
  });
});

describe('variants', () => {
  test('[docker.allowed_operations] decides which tools there are', () => {
    expect(names({ allowed_operations: ['list_images', 'create_volume'] })).toEqual(['list_images']);
    expect(createToolset([skill('docker', { allowed_operations: ['privileged'] })]).tools.size).toBe(0);
  });

  test('[docker=containers_only] has containers without network and volumes, whatever is asked', async () => {
    const asked = {
      variant: 'containers_only',
      network_access: true,
      volume_management: true,
      all_containers: true,
      allowed_operations: ['run_container', 'stop_container', 'build_image', 'create_volume', 'create_network'],
    };
    expect(names(asked)).toEqual(['run_container', 'stop_container']);
    expect((await use('run_container', { image: 'a' }, asked)).calls[1]).toContain('[--network][none]');
    expect((await use('stop_container', { container: 'c1' }, asked, 'other')).status).toBe('failed');
    expect(createToolset([skill('docker', asked)]).problems).toHaveLength(3);
  });

  test('[docker=full_control] has all', () => {
    expect(names({ variant: 'full_control' })).toHaveLength(19);
  });
});

test('without docker there is one clear sentence', async () => {
  await using bench = createBench();
  const context = bench.context({ environment: { PATH: bench.workspace } });
  for (const [name, given] of [
    ['list_images', '{}'],
    ['run_container', '{"image":"alpine"}'],
  ] as const) {
    const result = await toolOf(name, 'docker').run(given, context);
    expect(result).toMatchObject({ status: 'failed', output: expect.stringContaining('needs the docker program') });
  }
});
