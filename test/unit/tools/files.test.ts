// The file tools on a real file system: what they read and write, and what they refuse to leave.
import { describe, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ToolResult } from '../../../src/protocol/tool.ts';
import { createToolset } from '../../../src/tools/toolset.ts';
import { type Bench, createBench, skill, toolOf } from './support.ts';

async function call(
  bench: Bench,
  name: string,
  given: Record<string, unknown>,
  configuration: Record<string, unknown> = {},
): Promise<ToolResult> {
  return toolOf(name, 'file_system', configuration).run(JSON.stringify(given), bench.context());
}

describe('saving and reading', () => {
  test('a new file in new directories, then again', async () => {
    await using bench = createBench();
    const saved = await call(bench, 'save_file', { file_name: 'a/b/ü 🙂.txt', contents: 'grüße 🙂\n' });
    expect(saved).toMatchObject({ status: 'success', output: 'Saved 13 bytes to a/b/ü 🙂.txt' });
    expect(readFileSync(bench.path('a', 'b', 'ü 🙂.txt'), 'utf8')).toBe('grüße 🙂\n');
    expect((await call(bench, 'read_file', { file_name: 'a/b/ü 🙂.txt' })).output).toBe('grüße 🙂\n');
    expect(readdirSync(bench.path('a', 'b'))).toHaveLength(1);
    const refused = await call(bench, 'save_file', { file_name: 'a/b/ü 🙂.txt', contents: 'x', overwrite: false });
    expect(refused).toMatchObject({ status: 'failed', output: 'a/b/ü 🙂.txt exists already and overwrite is false' });
  });

  test('permissions survive, encodings are kept apart', async () => {
    await using bench = createBench();
    writeFileSync(bench.path('run.sh'), 'old');
    chmodSync(bench.path('run.sh'), 0o755);
    await call(bench, 'save_file', { file_name: 'run.sh', contents: 'new' });
    expect(statSync(bench.path('run.sh')).mode & 0o777).toBe(0o755);
    await call(bench, 'save_file', { file_name: 'latin', contents: 'é', encoding: 'latin-1' });
    expect(readFileSync(bench.path('latin'))).toEqual(Buffer.from([0xe9]));
    expect((await call(bench, 'read_file', { file_name: 'latin', encoding: 'ISO-8859-1' })).output).toBe('é');
    expect((await call(bench, 'read_file', { file_name: 'latin', encoding: 'klingon' })).status).toBe('failed');
  });

  test('what is not a readable text', async () => {
    await using bench = createBench();
    mkdirSync(bench.path('dir'));
    writeFileSync(bench.path('binary'), Buffer.from([1, 0, 2]));
    writeFileSync(bench.path('big'), Buffer.alloc(2_000, 'x'));
    writeFileSync(bench.path('file'), '');
    expect((await call(bench, 'read_file', { file_name: 'missing' })).output).toBe('missing does not exist');
    expect((await call(bench, 'read_file', { file_name: 'dir' })).output).toBe('dir is a directory');
    expect((await call(bench, 'save_file', { file_name: 'dir', contents: '' })).output).toBe('dir is a directory');
    expect((await call(bench, 'read_file', { file_name: 'binary' })).output).toBe('binary is a binary file');
    expect((await call(bench, 'read_file', { file_name: 'file/x' })).output).toContain('is a file, not a directory');
    expect((await call(bench, 'save_file', { file_name: 'file/x', contents: '' })).status).toBe('failed');
    expect((await call(bench, 'read_file', { file_name: 'big' }, { max_file_size: '1kB' })).output).toContain(
      'limit of 1024',
    );
    expect(
      (await call(bench, 'save_file', { file_name: 'b', contents: 'é'.repeat(600) }, { max_file_size: 1024 })).status,
    ).toBe('failed');
    expect((await call(bench, 'read_file', { file_name: 'a\0b' })).output).toContain('NUL');
    expect((await call(bench, 'save_file', { file_name: 'n'.repeat(300), contents: '' })).output).toContain('too long');
    expect((await call(bench, 'read_file', { file_name: 'file' })).output).toBe('[the file is empty]');
  });

  test('a read-only file and a full or read-only directory', async () => {
    await using bench = createBench();
    writeFileSync(bench.path('locked'), 'kept');
    chmodSync(bench.path('locked'), 0o444);
    expect((await call(bench, 'save_file', { file_name: 'locked', contents: 'x' })).output).toBe('locked is read-only');
    const everywhere = { variant: 'full_access' };
    const proc = await call(bench, 'save_file', { file_name: '/proc/new', contents: 'x' }, everywhere);
    expect(proc.status).toBe('failed');
    expect(proc.output).toContain('/proc/new');
    // Not a device of the machine: root would replace it where the look at it fails.
    Bun.spawnSync(['mkfifo', bench.path('pipe')]);
    const special = await call(bench, 'save_file', { file_name: 'pipe', contents: 'x' });
    expect(special.output).toBe('pipe is a device, pipe or socket, and only files and directories are allowed');
    expect((await call(bench, 'read_file', { file_name: '/proc/version' }, everywhere)).output).toContain('Linux');
  });
});

describe.if(process.platform === 'linux')('a disk that is', () => {
  const fixture = `"${process.execPath}" "${join(import.meta.dir, 'hostile-disk.fixture.ts')}"`;

  async function saveOn(directory: string, prepare: string, size: number, namespace: string[]): Promise<unknown> {
    const script = `${prepare} && exec ${fixture} "$1" ${size}`;
    const child = Bun.spawn(['unshare', ...namespace, 'sh', '-ec', script, 'sh', directory], { stderr: 'pipe' });
    const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if (output === '') throw new Error(`the namespace was refused: ${errors}`);
    return JSON.parse(output);
  }

  const root = ['--user', '--map-root-user', '--mount'];

  test('full', async () => {
    await using bench = createBench();
    const mount = 'mount -t tmpfs -o size=64k none "$1"';
    const words = 'The disk is full, so file was not written; free space or write somewhere else';
    expect(await saveOn(bench.workspace, mount, 1_000_000, root)).toEqual({ output: words, left: [] });
    expect(await saveOn(bench.workspace, mount, 1_000, root)).toEqual({
      output: 'Saved 1000 bytes to file',
      left: ['file'],
    });
  });

  test('read-only', async () => {
    await using bench = createBench();
    const mount = 'mount -t tmpfs -o ro none "$1"';
    const words = 'file is on a read-only file system; write somewhere else';
    expect(await saveOn(bench.workspace, mount, 10, root)).toEqual({ output: words, left: [] });
  });

  test('not ours', async () => {
    await using bench = createBench();
    chmodSync(bench.workspace, 0o555);
    const nobody = ['--user', '--map-user=1000'];
    expect(await saveOn(bench.workspace, 'true', 10, nobody)).toEqual({ output: 'No permission for file', left: [] });
    chmodSync(bench.workspace, 0o755);
  });
});

describe('base directories', () => {
  async function outsideOf(bench: Bench): Promise<string> {
    const outside = join(bench.workspace, '..', 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'secret'), 'secret');
    return outside;
  }

  test('nothing outside by dots, absolute names or links, to read or to write', async () => {
    await using bench = createBench();
    const outside = await outsideOf(bench);
    mkdirSync(bench.path('in'));
    symlinkSync(outside, bench.path('link'));
    symlinkSync(join(outside, 'secret'), bench.path('secret'));
    symlinkSync(join(outside, 'new'), bench.path('dangling'));
    symlinkSync('loop', bench.path('loop'));
    symlinkSync(outside, bench.path('in', 'link'));
    const names = [
      '../outside/secret',
      join(outside, 'secret'),
      'link/secret',
      'secret',
      'in/../../outside/secret',
      'in/link/secret',
    ];
    for (const name of [...names, 'in/link/new/file', '../new', 'link/new']) {
      for (const [tool, rest] of [
        ['read_file', {}],
        ['save_file', { contents: 'x' }],
        ['edit_file', { old_text: 'secret', new_text: 'x' }],
        ['read_file_chunk', { start_line: 1, end_line: 2 }],
      ] as const) {
        const result = await call(bench, tool, { file_name: name, ...rest });
        expect(result.output).toContain('is outside the allowed directories');
        expect(result.status).toBe('failed');
      }
    }
    expect((await call(bench, 'list_files', { directory: 'link' })).status).toBe('failed');
    expect((await call(bench, 'search_files', { directory: '..', pattern: '*' })).status).toBe('failed');
    expect((await call(bench, 'save_file', { file_name: 'dangling', contents: 'x' })).output).toContain(
      'leads nowhere',
    );
    expect((await call(bench, 'read_file', { file_name: 'loop' })).output).toContain('without end');
    expect(readdirSync(outside)).toEqual(['secret']);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret');
    expect((await call(bench, 'search_files', { pattern: '*' })).output).toBe('dangling\nin/link\nlink\nloop\nsecret');
    expect((await call(bench, 'search_content', { text: 'secret' })).output).toBe('[nothing found]');
  });

  test('a link inside is written through, a hard link is not', async () => {
    await using bench = createBench();
    const outside = await outsideOf(bench);
    writeFileSync(bench.path('target'), 'old');
    symlinkSync('target', bench.path('alias'));
    linkSync(join(outside, 'secret'), bench.path('hard'));
    await call(bench, 'save_file', { file_name: 'alias', contents: 'new' });
    await call(bench, 'save_file', { file_name: 'hard', contents: 'new' });
    expect(lstatSync(bench.path('alias')).isSymbolicLink()).toBe(true);
    expect(readFileSync(bench.path('target'), 'utf8')).toBe('new');
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret');
  });

  test('a pipe is refused at once', async () => {
    await using bench = createBench();
    Bun.spawnSync(['mkfifo', bench.path('pipe')]);
    const result = await call(bench, 'read_file', { file_name: 'pipe' });
    expect(result.output).toContain('is a device, pipe or socket');
    expect(result.durationMs).toBeLessThan(1_000);
  });

  test('a configured directory, more than one, and the sandboxed variant', async () => {
    await using bench = createBench();
    const outside = await outsideOf(bench);
    expect((await call(bench, 'read_file', { file_name: 'secret' }, { base_dir: outside })).output).toBe('secret');
    expect(
      (await call(bench, 'save_file', { file_name: bench.path('x'), contents: '' }, { base_dir: outside })).status,
    ).toBe('failed');
    const both = { base_dir: '.', allowed_paths: [outside] };
    expect((await call(bench, 'read_file', { file_name: join(outside, 'secret') }, both)).output).toBe('secret');
    expect((await call(bench, 'read_file', { file_name: `${outside}-other` }, both)).status).toBe('failed');
    expect(
      (await call(bench, 'read_file', { file_name: join(outside, 'secret') }, { variant: 'full_access' })).output,
    ).toBe('secret');
    const locked = { variant: 'sandboxed', base_dir: outside };
    expect((await call(bench, 'read_file', { file_name: join(outside, 'secret') }, locked)).status).toBe('failed');
    expect(createToolset([skill('file_system', locked)]).problems[0]).toContain('is sandboxed');
  });
});

describe('parts of files', () => {
  test('chunks are counted from 1 and include the last line', async () => {
    await using bench = createBench();
    writeFileSync(bench.path('f'), 'one\ntwo\r\nthree\nfour\n');
    expect((await call(bench, 'read_file_chunk', { file_name: 'f', start_line: 2, end_line: 3 })).output).toBe(
      'two\nthree',
    );
    expect((await call(bench, 'read_file_chunk', { file_name: 'f', start_line: 4, end_line: 9 })).output).toBe('four');
    expect((await call(bench, 'read_file_chunk', { file_name: 'f', start_line: 5, end_line: 9 })).output).toBe(
      'f has only 4 lines',
    );
    expect((await call(bench, 'read_file_chunk', { file_name: 'f', start_line: 3, end_line: 2 })).status).toBe(
      'failed',
    );
    expect((await call(bench, 'read_file_chunk', { file_name: 'f', start_line: 0, end_line: 2 })).status).toBe(
      'failed',
    );
  });

  test('a chunk of a file larger than the limit', async () => {
    await using bench = createBench();
    writeFileSync(bench.path('log'), Array.from({ length: 300_000 }, (_item, at) => `line ${at + 1}`).join('\n'));
    const given = { file_name: 'log', start_line: 299_999, end_line: 300_000 };
    expect((await call(bench, 'read_file_chunk', given, { max_file_size: 1024 })).output).toBe(
      'line 299999\nline 300000',
    );
    const all = await call(bench, 'read_file_chunk', { ...given, start_line: 1 });
    expect(Buffer.byteLength(all.output)).toBeLessThan(101_000);
  });

  test('lines are replaced, with the line ends of the file', async () => {
    await using bench = createBench();
    const replace = async (text: string, chunk: string, start = 2, end = 3): Promise<string> => {
      writeFileSync(bench.path('f'), text);
      const result = await call(bench, 'replace_file_chunk', {
        file_name: 'f',
        start_line: start,
        end_line: end,
        chunk,
      });
      return result.status === 'success' ? readFileSync(bench.path('f'), 'utf8') : result.output;
    };
    expect(await replace('1\n2\n3\n4\n', 'a\nb\nc')).toBe('1\na\nb\nc\n4\n');
    expect(await replace('1\n2\n3\n4\n', 'a\n')).toBe('1\na\n4\n');
    expect(await replace('1\n2\n3', 'a')).toBe('1\na');
    expect(await replace('1\n2\n3\n', '')).toBe('1\n');
    expect(await replace('1\r\n2\r\n3\r\n', 'a\nb')).toBe('1\r\na\r\nb\r\n');
    expect(await replace('1\n2\n', 'a')).toBe('f has only 2 lines');
  });

  test('an edit needs its text once, exactly', async () => {
    await using bench = createBench();
    const file = bench.path('f');
    writeFileSync(file, 'a $1 b\na $1 c\r\n');
    const edit = (given: Record<string, unknown>) => call(bench, 'edit_file', { file_name: 'f', ...given });
    expect((await edit({ old_text: 'zzz', new_text: '' })).output).toContain('was not found');
    expect((await edit({ old_text: 'a $1', new_text: '' })).output).toContain('occurs 2 times');
    expect((await edit({ old_text: '$1 b', new_text: "$& $' $1" })).status).toBe('success');
    expect(readFileSync(file, 'utf8')).toBe("a $& $' $1\na $1 c\r\n");
    expect((await edit({ old_text: 'a ', new_text: '', replace_all: true })).output).toBe('Replaced 2 in f');
    writeFileSync(file, Buffer.from([0x61, 0xff]));
    expect((await edit({ old_text: 'a', new_text: 'b' })).output).toBe('f is not valid UTF-8, so it was left alone');
    expect(readFileSync(file)).toEqual(Buffer.from([0x61, 0xff]));
  });
});

describe('finding', () => {
  test('names and contents', async () => {
    await using bench = createBench();
    for (const name of ['src/a.ts', 'src/deep/b.test.ts', 'c.py', '.git/config', 'node_modules/x/d.ts', 'e.TS']) {
      mkdirSync(bench.path(name, '..'), { recursive: true });
      writeFileSync(bench.path(name), `first\nneedle in ${name}\n`);
    }
    writeFileSync(bench.path('binary.ts'), Buffer.from('needle\0'));
    const search = async (pattern: string, directory?: string): Promise<string> =>
      (await call(bench, 'search_files', { pattern, ...(directory === undefined ? {} : { directory }) })).output;
    expect(await search('*.ts')).toBe('binary.ts\nsrc/a.ts\nsrc/deep/b.test.ts');
    expect(await search('src/**/*.ts')).toBe('src/a.ts\nsrc/deep/b.test.ts');
    expect(await search('**/*.{py,TS}')).toBe('c.py\ne.TS');
    expect(await search('[a-c].*')).toBe('c.py\nsrc/a.ts\nsrc/deep/b.test.ts');
    expect(await search('node_modules/**')).toBe('node_modules/x/d.ts');
    expect(await search('?.ts', 'src')).toBe('a.ts');
    expect(await search('nothing')).toBe('[nothing found]');
    expect(await search('*', 'missing')).toBe('missing does not exist');
    const content = await call(bench, 'search_content', { text: 'NEEDLE', ignore_case: true, file_pattern: '*.ts' });
    expect(content.output).toBe('src/a.ts:2: needle in src/a.ts\nsrc/deep/b.test.ts:2: needle in src/deep/b.test.ts');
    expect((await call(bench, 'search_content', { text: 'NEEDLE' })).output).toBe('[nothing found]');
    expect((await call(bench, 'list_files', {})).output).toBe('.git/\nbinary.ts\nc.py\ne.TS\nnode_modules/\nsrc/');
  });

  test('a hostile pattern ends at once, a long list is cut', async () => {
    await using bench = createBench();
    for (let at = 0; at < 600; at += 1) writeFileSync(bench.path(`${'a'.repeat(100)}${at}`), '');
    const before = performance.now();
    expect((await call(bench, 'search_files', { pattern: `${'*a'.repeat(200)}b` })).output).toBe('[nothing found]');
    expect((await call(bench, 'search_files', { pattern: '{a,b}'.repeat(20) })).status).toBe('failed');
    expect(performance.now() - before).toBeLessThan(3_000);
    const all = await call(bench, 'search_files', { pattern: '*' });
    expect(all.output.split('\n')).toHaveLength(501);
    expect(all.output).toEndWith('[there is more; narrow the search]');
  });

  test('a search that is stopped stops, and does not say that nothing is there', async () => {
    await using bench = createBench();
    for (let at = 0; at < 4_000; at += 1) writeFileSync(bench.path(`file-${at}`), 'x');
    const context = bench.context({ limits: { timeoutMs: 30 } });
    const result = await toolOf('search_content', 'file_system').run('{"text":"needle"}', context);
    expect(result.output).toBe('[nothing found before the search ended; narrow it]');
  });
});

test.skipIf(process.platform !== 'linux')('processes are no files: their environment holds keys', async () => {
  await using bench = createBench();
  const everywhere = { variant: 'full_access' };
  for (const file_name of ['/proc/self/environ', `/proc/${process.pid}/environ`, '/proc/thread-self/environ']) {
    const chunk = { file_name, start_line: 1, end_line: 9 };
    expect((await call(bench, 'read_file_chunk', chunk, everywhere)).output).toEndWith('belongs to a running process');
    expect((await call(bench, 'read_file', { file_name, encoding: 'utf-16le' }, everywhere)).status).toBe('failed');
  }
  expect((await call(bench, 'read_file', { file_name: '/proc/version' }, everywhere)).status).toBe('success');
});

test('variants and switches decide which tools there are', () => {
  const names = (configuration: Record<string, unknown>): string[] =>
    Array.from(createToolset([skill('file_system', configuration)]).tools.keys()).filter(
      (name) => name !== 'wait_for_approval',
    );
  expect(names({})).toHaveLength(8);
  expect(names({ variant: 'read_only' })).toEqual([
    'read_file',
    'read_file_chunk',
    'list_files',
    'search_files',
    'search_content',
  ]);
  expect(names({ enable_save_file: false, enable_search_files: false })).toEqual([
    'read_file',
    'read_file_chunk',
    'list_files',
  ]);
  expect(names({ operations: ['write'] })).toEqual(['save_file']);
  const tools = createToolset([skill('file_system')]).tools;
  expect(tools.get('read_file')?.effect('{"file_name":"x"}')).toBe('read_only');
  expect(tools.get('save_file')?.effect('{"file_name":"x","contents":""}')).toBe('side_effecting');
  expect(existsSync('x')).toBe(false);
});
