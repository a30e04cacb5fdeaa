// MCP servers of a worker against real ones: their tools, their faults, and that nothing of them is left.
import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { McpSettings } from '../../src/tools/mcp/configuration.ts';
import { toolsOfOffer, withNames } from '../../src/tools/mcp/tools.ts';
import { until } from '../support/until.ts';
import { createServersLab } from './servers-lab.ts';

const lab = createServersLab();
const { call, discover, settingsOf, alive, workspace, events, servers } = lab;
afterAll(() => lab.stop());

const faulty = [process.execPath, join(import.meta.dir, 'faulty-server.fixture.ts')];
const programOf = (name: string): string =>
  join(dirname(Bun.resolveSync(`@modelcontextprotocol/${name}/package.json`, import.meta.dir)), 'dist/index.js');
const everything = programOf('server-everything');

const stdio = (command: readonly string[], more: object = {}): McpSettings =>
  settingsOf({ command: command[0], args: command.slice(1), ...more });

describe('the server that has everything', () => {
  const transports = ['stdio', 'streamableHttp', 'sse'] as const;
  for (const kind of transports) {
    test(`over ${kind}`, async () => {
      const { settings, stop } = await startEverything(kind);
      try {
        const discovery = await discover(settings);
        if (!discovery.ok) throw new Error(discovery.problem);
        const names = withNames(toolsOfOffer(settings, discovery.offer)).map(({ name }) => name);
        expect(names).toContain('mcp__one__echo');
        expect(names).toContain('mcp__one__get-sum');
        expect(names).toEqual(expect.arrayContaining(['mcp__one__list_resources', 'mcp__one__get_prompt']));

        expect(await call(settings, 'echo', { message: 'hello' })).toEqual({
          status: 'success',
          output: 'Echo: hello',
        });
        const image = await call(settings, 'get-tiny-image');
        expect(image.output).toContain('saved as mcp-files/call-get-tiny-image-1.png');
        const wrong = await call(settings, 'get-sum', { a: 'x' });
        expect(wrong.status).toBe('failed');

        const seen: string[] = [];
        const long = { duration: 1, steps: 2 };
        await call(settings, 'trigger-long-running-operation', long, { onOutput: (text) => seen.push(text) });
        expect(seen.join('')).toContain('1/2');

        const list = await call(settings, '', {}, { kind: 'list_resources' });
        const [uri = ''] = /\S+:\/\/\S+/.exec(list.output) ?? [];
        expect((await call(settings, '', { uri }, { kind: 'read_resource' })).status).toBe('success');
        expect((await call(settings, '', { uri: 'demo://nowhere' }, { kind: 'read_resource' })).status).toBe('failed');
        const [prompt] = discovery.offer.prompts;
        expect((await call(settings, '', { name: prompt?.name }, { kind: 'get_prompt' })).output).toContain('user: ');
      } finally {
        await stop();
      }
    }, 40_000);
  }

  async function startEverything(kind: (typeof transports)[number]) {
    if (kind === 'stdio')
      return { settings: stdio([process.execPath, everything, 'stdio']), stop: async () => undefined };
    const port = await freePort();
    const child = Bun.spawn([process.execPath, everything, kind], {
      env: { ...process.env, PORT: String(port) },
      stdout: 'ignore',
      stderr: 'ignore',
    });
    await until(() => answers(port));
    const url = `http://127.0.0.1:${port}/${kind === 'sse' ? 'sse' : 'mcp'}`;
    return {
      // Which of the two it is, is found out for one of them.
      settings: settingsOf({ url, ...(kind === 'sse' ? {} : { transport: 'streamable_http' }) }),
      stop: async () => {
        child.kill('SIGKILL');
        await child.exited;
      },
    };
  }
});

describe('a server that', () => {
  test('crashes in a call is started again for the next, and the model learns what it said', async () => {
    const settings = stdio(faulty, { env: { CASE: 'crash' } });
    const first = await call(settings, 'echo', { text: 'a' });
    const crashed = await call(settings, 'crash');
    expect(crashed.status).toBe('failed');
    expect(crashed.output).toContain('whether the call took effect is not known');
    expect(crashed.output).toContain('exit code 9');
    expect(crashed.output).toContain('the disk of the faulty server is full');
    await until(async () => (await call(settings, 'echo', { text: 'b' })).status === 'success', { limitMs: 10_000 });
    expect(first.output.split(' ')[0]).not.toBe((await call(settings, 'echo')).output.split(' ')[0] ?? '');
  }, 30_000);

  test('hangs is told that the call is cancelled, and answers the next one', async () => {
    const settings = stdio(faulty, { env: { CASE: 'hang' } });
    const stop = new AbortController();
    const hanging = call(settings, 'hang', {}, { signal: stop.signal });
    await until(async () => (await call(settings, 'echo')).status === 'success');
    stop.abort();
    expect((await hanging).status).toBe('failed');
    await until(async () => (await call(settings, 'cancelled')).output === '1');
  });

  test('floods with progress is heard ten times a second', async () => {
    const seen: string[] = [];
    const settings = stdio(faulty, { env: { CASE: 'flood' } });
    const onOutput = (line: string): void => void seen.push(line);
    expect(await call(settings, 'flood', {}, { onOutput })).toEqual({ status: 'success', output: 'done' });
    expect(seen[0]).toBe(`${'y'.repeat(500)} 1\n`);
    expect(seen.length).toBeLessThan(100);
  });

  test('writes garbage beside its messages is understood all the same', async () => {
    const settings = stdio([...faulty, 'noise'], { env: { CASE: 'garbage' } });
    expect(await call(settings, 'garbage')).toEqual({ status: 'success', output: 'clean again' });
  });

  test('sends a line of 50 MB loses that answer only', async () => {
    const settings = stdio(faulty, { env: { CASE: 'big' } });
    const [pid] = (await call(settings, 'echo')).output.split(' ');
    const before = process.memoryUsage.rss();
    const outcome = await call(settings, 'big', { bytes: 50_000_000 });
    expect(outcome.output).toContain('more than the 33554432 that are read');
    expect(process.memoryUsage.rss() - before).toBeLessThan(150_000_000);
    expect((await call(settings, 'echo')).output.split(' ')[0]).toBe(pid ?? '');
  });

  test('gives a text that is too long for a model leaves it in the workspace', async () => {
    const settings = stdio(faulty, { env: { CASE: 'big' } });
    const outcome = await call(settings, 'big', { bytes: 200_000 });
    expect(outcome.status).toBe('success');
    expect(Buffer.byteLength(outcome.output)).toBeLessThanOrEqual(10_000);
    expect(outcome.originalBytes).toBe(200_000);
    const [, path = ''] = /the whole text is in (\S+)\]/.exec(outcome.output) ?? [];
    expect(readFileSync(join(workspace, path), 'utf8')).toBe('x'.repeat(200_000));
  });

  test('does not start is said with its last words, and not asked again at once', async () => {
    const settings = stdio([...faulty, 'dies']);
    const discovery = await discover(settings);
    expect(discovery).toMatchObject({ ok: false });
    expect(discovery.ok ? '' : discovery.problem).toContain('ended at the start (exit code 3)');
    expect(discovery.ok ? '' : discovery.problem).toContain('fatal: FAULTY_TOKEN is not accepted');
    const again = await Promise.all(Array.from({ length: 20 }, () => discover(settings)));
    expect(again.every(({ ok }) => !ok)).toBe(true);
    expect(events.filter((event) => event.includes('FAULTY_TOKEN is not')).length).toBeLessThan(20);
  });

  test('never answers is given up', async () => {
    const settings = stdio([...faulty, 'silent', 'noise'], { startup_timeout: 1 });
    const discovery = await discover(settings);
    expect(discovery.ok ? '' : discovery.problem).toContain('did not answer within 1 s');
    expect(discovery.ok ? '' : discovery.problem).toContain('it wrote: Welcome to the faulty server!');
  });

  test('is not there is said', async () => {
    const missing = await discover(stdio(['no-such-program']));
    expect(missing).toEqual({ ok: false, problem: 'the program no-such-program was not found' });
    const refused = await discover(settingsOf({ url: `http://127.0.0.1:${await freePort()}/mcp` }));
    expect(refused.ok).toBe(false);
  });

  test('heeds neither the end of its input nor SIGTERM is gone with what it started, after release', async () => {
    const before = alive();
    const settings = stdio([...faulty, 'stubborn'], { env: { CASE: 'stray' } });
    const pid = Number((await call(settings, 'stray', {}, { executionId: 'leaving' })).output);
    // Between fork and exec a process shows no environment.
    await until(() => alive() === before + 2);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    servers.release('another');
    await call(settings, 'echo', {}, { executionId: 'leaving' });
    servers.release('leaving');
    await until(() => alive() === before, { limitMs: 5_000 });
  }, 20_000);
});

test('calls share a server of one configuration and not of another', async () => {
  const one = stdio(faulty, { env: { CASE: 'share' } });
  const same = stdio(faulty, { env: { CASE: 'share' } });
  const other = stdio(faulty, { env: { CASE: 'share', FAULTY_TOKEN: '{{.secret.TOKEN}}' } });
  const pidOf = async (settings: McpSettings): Promise<string> =>
    (await call(settings, 'echo')).output.split(' ')[0] ?? '';
  const pids = await Promise.all([one, same, other].map(pidOf));
  expect(pids[0]).toBe(pids[1] ?? '');
  expect(pids[2]).not.toBe(pids[0] ?? '');
});

test('results come as the model can read them', async () => {
  const settings = stdio(faulty);
  const picture = await call(settings, 'picture');
  expect(picture.output.split('\n')).toEqual([
    '[image image/png, 70 bytes, saved as mcp-files/call-picture-1.png]',
    '[file:///a.bin]',
    '[resource, 3 bytes, saved as mcp-files/call-picture-2.bin]',
    '[file:///b.txt - b]',
  ]);
  expect([...readFileSync(join(workspace, 'mcp-files/call-picture-2.bin'))]).toEqual([0, 1, 2]);
  expect((await call(settings, 'structured')).output).toBe('{\n  "degrees": 21\n}');
  expect(await call(settings, 'fails')).toEqual({ status: 'failed', output: 'no such city', error: 'no such city' });
  const seen: string[] = [];
  await call(settings, 'progress', {}, { onOutput: (text) => seen.push(text) });
  expect(seen).toEqual(['step 1/2\n', 'step 2/2\n']);
});

test('files of a result do not follow a link out of the workspace', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'kubiya-outside-'));
  rmSync(join(workspace, 'mcp-files'), { recursive: true, force: true });
  symlinkSync(outside, join(workspace, 'mcp-files'));
  const outcome = await call(stdio(faulty), 'picture');
  expect(outcome.output).toContain('mcp-files is a symbolic link');
  expect(readdirSync(outside)).toEqual([]);
  rmSync(join(workspace, 'mcp-files'));
  rmSync(outside, { recursive: true });
});

test('a server’s own word on its effects counts only where it is trusted', async () => {
  const effectOf = async (more: object): Promise<string | undefined> => {
    const settings = stdio(faulty, more);
    const discovery = await discover(settings);
    if (!discovery.ok) throw new Error(discovery.problem);
    return toolsOfOffer(settings, discovery.offer).find(({ tool }) => tool === 'echo')?.effect;
  };
  expect(await effectOf({})).toBe('side_effecting');
  expect(await effectOf({ trust_annotations: true })).toBe('read_only');
  expect(await effectOf({ idempotent_tools: ['echo'] })).toBe('idempotent');
  const settings = stdio(faulty, { allowed_tools: ['echo', 'big'], blocked_tools: ['big'] });
  const discovery = await discover(settings);
  expect(discovery.ok && toolsOfOffer(settings, discovery.offer).map(({ tool }) => tool)).toEqual(['echo']);
});

test('the filesystem server keeps to its directory', async () => {
  writeFileSync(join(workspace, 'note.txt'), 'in the workspace');
  const settings = stdio([process.execPath, programOf('server-filesystem'), workspace]);
  expect((await call(settings, 'read_text_file', { path: join(workspace, 'note.txt') })).output).toContain(
    'in the workspace',
  );
  expect((await call(settings, 'read_text_file', { path: '/etc/passwd' })).status).toBe('failed');
});

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function answers(port: number): Promise<boolean> {
  try {
    await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(500) });
    return true;
  } catch {
    return false;
  }
}
