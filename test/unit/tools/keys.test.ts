// One test for each key, variant and tool of the oldest skills, named for it; TOOLS.md lists them, enforcement-long.ts breaks them.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import type { ToolResult } from '../../../src/protocol/tool.ts';
import type { ToolContext } from '../../../src/tools/tool.ts';
import { createToolset } from '../../../src/tools/toolset.ts';
import { type Bench, createBench, skill, toolOf } from './support.ts';

let bench: Bench;
let python: ToolContext['python'];
beforeAll(() => {
  bench = createBench();
  python = bench.context().python;
});
afterAll(() => bench[Symbol.asyncDispose]());

type Configuration = Record<string, unknown>;

const namesOf = (type: string, configuration: Configuration = {}): string[] =>
  Array.from(createToolset([skill(type, configuration)]).tools.keys()).filter((name) => name !== 'wait_for_approval');

function use(
  type: string,
  name: string,
  given: object,
  configuration: Configuration = {},
  changes: Partial<ToolContext> = {},
) {
  return toolOf(name, type, configuration).run(JSON.stringify(given), bench.context({ python, ...changes }));
}

const shell = (command: string, configuration: Configuration = {}): Promise<ToolResult> =>
  use('shell', 'run_shell_command', { command, timeout_seconds: 20 }, configuration);

describe('shell', () => {
  test('[run_shell_command] runs', async () => {
    expect((await shell('echo $((1+1))')).output).toBe('2\n[exit code 0]');
  });

  test('[shell.allowed_commands]', async () => {
    const configuration = { allowed_commands: ['echo', 'git status'] };
    expect((await shell('echo ok', configuration)).status).toBe('success');
    for (const command of [
      'touch hit-a',
      'echo ok; touch hit-a',
      'git version',
      'echo $(touch hit-a)',
      'env touch hit-a',
    ]) {
      expect({ command, status: (await shell(command, configuration)).status }).toEqual({ command, status: 'failed' });
    }
    expect(existsSync(bench.path('hit-a'))).toBe(false);
  });

  test('[shell.blocked_commands]', async () => {
    const configuration = { blocked_commands: ['touch'] };
    for (const command of ['touch hit-b', '/usr/bin/touch hit-b', 'sh -c "touch hit-b"', 'echo hit-b | xargs touch']) {
      expect({ command, status: (await shell(command, configuration)).status }).toEqual({ command, status: 'failed' });
    }
    expect(existsSync(bench.path('hit-b'))).toBe(false);
    expect((await shell('echo ok', configuration)).status).toBe('success');
  });

  test('[shell.timeout]', async () => {
    expect((await shell('sleep 5', { timeout: 1 })).error).toBe('Stopped at its time limit of 1 s');
  });

  test('[shell.max_output_size]', async () => {
    expect((await shell('seq 10000', { max_output_size: '4KB' })).originalBytes).toBe(48_894);
  });

  test('[shell.working_directory]', async () => {
    expect((await shell('pwd', { working_directory: '/' })).output).toBe('/\n[exit code 0]');
  });

  test('[shell.environment_variables]', async () => {
    expect((await shell('echo "<$WORD>"', { environment_variables: { WORD: 5 } })).output).toBe('<5>\n[exit code 0]');
  });

  // What they would do where the list fails harms nothing: they are run on real machines, by root too.
  test('[shell=safe_commands] has a list of what may not run, and 30 s', async () => {
    for (const command of ['sudo id', 'chmod 777 .', 'kill -0 1', 'dd if=/dev/zero of=x count=1', 'rm -rf x']) {
      const { status, output } = await shell(command, { variant: 'safe_commands' });
      expect({ command, status }).toEqual({ command, status: 'failed' });
      expect(output).toContain('is a blocked command');
    }
    expect(toolOf('run_shell_command', 'shell', { variant: 'safe_commands' }).usualTimeMs).toBe(30_000);
  });

  test('[shell=read_only] reads, and writes nothing', async () => {
    expect((await shell('ls', { variant: 'read_only' })).status).toBe('success');
    for (const command of ['touch hit-c', 'echo > hit-c', 'sort -o hit-c /dev/null', 'find . -exec touch hit-c +']) {
      expect({ command, status: (await shell(command, { variant: 'read_only' })).status }).toEqual({
        command,
        status: 'failed',
      });
    }
    expect(existsSync(bench.path('hit-c'))).toBe(false);
  });

  test('[shell=full_access] has 300 s', () => {
    expect(toolOf('run_shell_command', 'shell').usualTimeMs).toBe(60_000);
    expect(toolOf('run_shell_command', 'shell', { variant: 'full_access' }).usualTimeMs).toBe(300_000);
  });
});

/** Both kinds of skills with files enforce the same keys. */
const readers = ['read_file', 'read_file_chunk'];
const searchers = ['search_files', 'search_content'];
const writers = ['save_file', 'edit_file', 'replace_file_chunk'];
function expectFileKeys(type: 'file_system' | 'file_generation') {
  const outside = bench.path('..', `outside-${type}`);
  mkdirSync(outside);
  writeFileSync(`${outside}/secret`, 'secret');
  const read = (name: string, configuration: Configuration) =>
    use(type, 'read_file', { file_name: name }, configuration);
  return {
    base_dir: async () => {
      expect((await read('secret', { base_dir: outside })).output).toBe('secret');
      expect((await read(bench.path('x'), { base_dir: outside })).output).toContain('outside the allowed directories');
      expect((await read(`${outside}/secret`, {})).output).toContain('outside the allowed directories');
    },
    allowed_paths: async () => {
      expect((await read(`${outside}/secret`, { allowed_paths: ['.', outside] })).output).toBe('secret');
      symlinkSync(`${outside}/secret`, bench.path(`link-${type}`));
      expect((await read(`link-${type}`, { allowed_paths: ['.'] })).output).toContain(
        'outside the allowed directories',
      );
      expect((await read(bench.path('x'), { allowed_paths: [outside] })).output).toContain('outside the allowed');
    },
    max_file_size: async () => {
      writeFileSync(bench.path('eleven'), 'x'.repeat(11));
      expect((await read('eleven', { max_file_size: 10 })).output).toContain('more than the limit of 10');
      const saved = await use(type, 'save_file', { file_name: 'big', contents: 'x'.repeat(11) }, { max_file_size: 10 });
      expect(saved.output).toContain('more than the limit of 10');
      expect(existsSync(bench.path('big'))).toBe(false);
    },
    operations: () => {
      expect(namesOf(type, { operations: ['write'] })).toEqual(['save_file']);
      expect(namesOf(type, { operations: ['read', 'list'] })).toEqual([...readers, 'list_files']);
    },
    enable_read_file: () =>
      expect(namesOf(type, { enable_read_file: false })).toEqual(['list_files', 'search_files', 'save_file']),
    enable_save_file: () => {
      expect(namesOf(type, { enable_save_file: false })).toEqual([...readers, 'list_files', ...searchers]);
      expect(namesOf(type, { operations: ['read'], enable_save_file: true })).toEqual([...readers, ...writers]);
    },
    enable_list_files: () =>
      expect(namesOf(type, { enable_list_files: false })).toEqual([...readers, ...searchers, ...writers]),
    enable_search_files: () =>
      expect(namesOf(type, { enable_search_files: false })).toEqual([...readers, 'list_files', ...writers]),
  };
}

describe('file_system', () => {
  const keys: { [Key in keyof ReturnType<typeof expectFileKeys>]?: () => unknown } = {};
  beforeAll(() => void Object.assign(keys, expectFileKeys('file_system')));
  test('[file_system.base_dir]', () => keys.base_dir?.() as Promise<void>);
  test('[file_system.allowed_paths]', () => keys.allowed_paths?.() as Promise<void>);
  test('[file_system.max_file_size]', () => keys.max_file_size?.() as Promise<void>);
  test('[file_system.operations]', () => void keys.operations?.());
  test('[file_system.enable_read_file]', () => void keys.enable_read_file?.());
  test('[file_system.enable_save_file]', () => void keys.enable_save_file?.());
  test('[file_system.enable_list_files]', () => void keys.enable_list_files?.());
  test('[file_system.enable_search_files]', () => void keys.enable_search_files?.());

  test('[file_system=read_only] cannot write, whatever is asked', () => {
    const asked = { variant: 'read_only', enable_save_file: true, operations: ['read', 'write'] };
    expect(namesOf('file_system', asked)).toEqual(readers);
  });

  test('[file_system=sandboxed] is the workspace, whatever is asked', async () => {
    const asked = { variant: 'sandboxed', base_dir: '/', allowed_paths: ['/'] };
    expect((await use('file_system', 'read_file', { file_name: '/etc/passwd' }, asked)).output).toContain('outside');
    expect(createToolset([skill('file_system', asked)]).problems).toHaveLength(2);
  });

  test('[file_system=full_access] reaches everything', async () => {
    const everywhere = { variant: 'full_access' };
    expect((await use('file_system', 'list_files', { directory: '/' }, everywhere)).output).toContain('etc/');
    expect((await use('file_system', 'list_files', { directory: '/' })).status).toBe('failed');
  });

  test('[save_file] [read_file] [edit_file] [read_file_chunk] [replace_file_chunk] [list_files] [search_files] [search_content]', async () => {
    const step = async (name: string, given: object) => (await use('file_system', name, given)).output;
    expect(await step('save_file', { file_name: 'd/f.txt', contents: 'one\ntwo\nthree\n' })).toContain('Saved');
    expect(await step('edit_file', { file_name: 'd/f.txt', old_text: 'two', new_text: '2' })).toContain('Replaced');
    expect(await step('read_file', { file_name: 'd/f.txt' })).toBe('one\n2\nthree\n');
    expect(
      await step('replace_file_chunk', { file_name: 'd/f.txt', start_line: 1, end_line: 1, chunk: '1' }),
    ).toContain('Replaced');
    expect(await step('read_file_chunk', { file_name: 'd/f.txt', start_line: 1, end_line: 2 })).toBe('1\n2');
    expect(await step('list_files', { directory: 'd' })).toBe('f.txt');
    expect(await step('search_files', { pattern: 'd/*.txt' })).toBe('d/f.txt');
    expect(await step('search_content', { text: 'three' })).toBe('d/f.txt:3: three');
    expect(readFileSync(bench.path('d', 'f.txt'), 'utf8')).toBe('1\n2\nthree\n');
  });
});

describe('file_generation', () => {
  const keys: { [Key in keyof ReturnType<typeof expectFileKeys>]?: () => unknown } = {};
  beforeAll(() => void Object.assign(keys, expectFileKeys('file_generation')));
  test('[file_generation.base_dir]', () => keys.base_dir?.() as Promise<void>);
  test('[file_generation.allowed_paths]', () => keys.allowed_paths?.() as Promise<void>);
  test('[file_generation.max_file_size]', () => keys.max_file_size?.() as Promise<void>);
  test('[file_generation.operations]', () => void keys.operations?.());
  test('[file_generation.enable_read_file]', () => void keys.enable_read_file?.());
  test('[file_generation.enable_save_file]', () => void keys.enable_save_file?.());
  test('[file_generation.enable_list_files]', () => void keys.enable_list_files?.());
  test('[file_generation.enable_search_files]', () => void keys.enable_search_files?.());

  test('has no variants', () => {
    expect(createToolset([skill('file_generation', { variant: 'full_access' })]).problems[0]).toContain('have none');
  });
});

describe('python', () => {
  const slowMs = 60_000;
  const run = (code: string, configuration: Configuration = {}) =>
    use('python', 'run_python_code', { code }, configuration);

  test(
    '[run_python_code] [save_to_file_and_run] [run_python_file_return_variable]',
    async () => {
      expect((await run('print(6*7)')).output).toBe('42\n[exit code 0]');
      const saved = { file_name: 'p.py', code: 'x = 5', variable_to_return: 'x' };
      expect((await use('python', 'save_to_file_and_run', saved)).output).toContain('x = 5');
      const found = { file_name: 'p.py', variable_to_return: 'x' };
      expect((await use('python', 'run_python_file_return_variable', found)).output).toContain('x = 5');
    },
    slowMs,
  );

  test(
    '[python.allowed_imports]',
    async () => {
      expect((await run('import math', { allowed_imports: ['math'] })).status).toBe('success');
      expect((await run('import json', { allowed_imports: ['math'] })).output).toContain('The code was not run');
      expect(namesOf('python', { allowed_imports: ['math'] })).not.toContain('pip_install_package');
    },
    slowMs,
  );

  test(
    '[python.max_memory]',
    async () => {
      const greedy = 'x = bytearray(800 * 1024 * 1024)\nprint("had it")';
      expect((await run(greedy, { max_memory: '300MB' })).output).toContain('MemoryError');
      expect((await run(greedy)).output).toContain('had it');
    },
    slowMs,
  );

  test(
    '[python.timeout]',
    async () => {
      expect((await run('import time\ntime.sleep(9)', { timeout: 1 })).error).toBe('Stopped at its time limit of 1 s');
    },
    slowMs,
  );

  test(
    '[python=restricted_imports] computes in 512 MB and 120 s',
    async () => {
      const restricted = { variant: 'restricted_imports' };
      expect((await run('import os', restricted)).output).toContain('The code was not run');
      expect((await run('x = bytearray(700 * 1024 * 1024)', restricted)).output).toContain('MemoryError');
      expect(toolOf('run_python_code', 'python', restricted).usualTimeMs).toBe(120_000);
    },
    slowMs,
  );

  test('[python=full_access] has 600 s and installs', () => {
    expect(toolOf('run_python_code', 'python', { variant: 'full_access' }).usualTimeMs).toBe(600_000);
    expect(namesOf('python', { variant: 'full_access' })).toContain('pip_install_package');
  });

  test(
    '[pip_install_package] [uv_pip_install_package] with uv where it is, else with pip, options never',
    async () => {
      const directory = bench.path('..', 'uv');
      mkdirSync(directory);
      const { environment } = bench.context();
      const withUv = { environment: { ...environment, PATH: `${directory}:${environment['PATH']}` } };
      writeFileSync(`${directory}/uv`, '#!/bin/sh\necho "uv $*"\n', { mode: 0o755 });
      const install = (name: string, wanted: string, changes: Partial<ToolContext>) =>
        use('python', name, { package_name: wanted }, {}, changes);
      expect((await install('uv_pip_install_package', 'some-package>=2', withUv)).output).toMatch(
        /^uv pip install --python \S+\/venv\/bin\/python -- some-package>=2\n/,
      );
      expect((await install('pip_install_package', './nowhere.whl', withUv)).output).toContain('does not exist');
      mkdirSync(bench.path('empty'));
      expect((await install('uv_pip_install_package', './empty', {})).output).toContain('is not installable');
      expect((await install('pip_install_package', './empty', withUv)).output).toContain('is not installable');
      for (const wanted of ['--index-url=http://x', '-e .', 'git+https://x/y']) {
        expect((await install('uv_pip_install_package', wanted, withUv)).output).toMatch(
          /is not a package|does not exist/,
        );
      }
    },
    slowMs,
  );
});
