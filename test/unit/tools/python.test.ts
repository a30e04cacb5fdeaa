// The Python tools with a real interpreter, a real virtual environment and a wheel made here.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ToolResult } from '../../../src/protocol/tool.ts';
import type { ToolContext } from '../../../src/tools/tool.ts';
import { type Bench, createBench, toolOf } from './support.ts';

/** Creating a virtual environment takes seconds, so most tests share one. */
let shared: Bench;
let python: ToolContext['python'];
/** Where the tools keep what they need for a moment; other test files run beside this one. */
let scratch: string;
const { TMPDIR: usual } = process.env;
beforeAll(() => {
  shared = createBench();
  python = shared.context().python;
  scratch = mkdtempSync(join(tmpdir(), 'kubiya-scratch-'));
  process.env['TMPDIR'] = scratch;
});
afterAll(async () => {
  if (usual === undefined) delete process.env['TMPDIR'];
  else process.env['TMPDIR'] = usual;
  rmSync(scratch, { recursive: true });
  await shared[Symbol.asyncDispose]();
});

const slowMs = 60_000;

function call(
  name: string,
  given: Record<string, unknown>,
  configuration: Record<string, unknown> = {},
  changes: Partial<ToolContext> = {},
): Promise<ToolResult> {
  return toolOf(name, 'python', configuration).run(JSON.stringify(given), shared.context({ python, ...changes }));
}

/** A pure wheel is a zip of two files and their list. */
async function makeWheel(directory: string, name: string): Promise<string> {
  const info = `${name}-1.0.dist-info`;
  const files: Record<string, string> = {
    [`${name}.py`]: 'value = 42\n',
    [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n`,
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  };
  const record = Object.entries(files).map(([path, text]) => {
    const hash = createHash('sha256').update(text).digest('base64url');
    return `${path},sha256=${hash},${text.length}`;
  });
  files[`${info}/RECORD`] = `${[...record, `${info}/RECORD,,`].join('\n')}\n`;
  const wheel = join(directory, `${name}-1.0-py3-none-any.whl`);
  const script =
    'import json,sys,zipfile\nwith zipfile.ZipFile(sys.argv[1],"w") as z:\n for n,t in json.loads(sys.argv[2]).items(): z.writestr(n,t)';
  expect(Bun.spawnSync(['python3', '-c', script, wheel, JSON.stringify(files)]).exitCode).toBe(0);
  return wheel;
}

describe('running code', () => {
  test(
    'prints, and returns a variable that prints cannot forge',
    async () => {
      const code = 'print("x = 5")\nx = {"a": [1, "ü🙂"]}\n';
      const result = await call('run_python_code', { code, variable_to_return: 'x' });
      expect(result).toMatchObject({ status: 'success', output: 'x = 5\n[exit code 0]\nx = {"a": [1, "ü🙂"]}' });
      expect((await call('run_python_code', { code: 'x = {1}', variable_to_return: 'x' })).output).toContain('x = {1}');
      expect((await call('run_python_code', { code: 'y = 1', variable_to_return: 'x' })).output).toContain(
        '[there is no variable x]',
      );
      const long = await call('run_python_code', { code: 'x = "é" * 1000000', variable_to_return: 'x' });
      expect(long.output).toContain('éé');
      expect(Buffer.byteLength(long.output)).toBeLessThan(60_000);
      expect((await call('run_python_code', { code: '', variable_to_return: 'x.y' })).status).toBe('failed');
      expect(readdirSync(scratch)).toEqual([]);
    },
    slowMs,
  );

  test(
    'an error without our own frames, an exit code, a syntax error',
    async () => {
      const error = await call('run_python_code', { code: 'def f():\n  return 1/0\nf()' });
      expect(error.status).toBe('failed');
      expect(error.output).toMatch(/^Traceback.*\n {2}File ".*code\.py", line 3, in <module>\n/);
      expect(error.output).toContain('ZeroDivisionError');
      expect(error.output).toEndWith('[exit code 1]');
      const exit = await call('run_python_code', { code: 'import sys\nx=1\nsys.exit(7)', variable_to_return: 'x' });
      expect(exit.output).toBe('[exit code 7]\nx = 1');
      expect((await call('run_python_code', { code: 'def (' })).output).toContain('SyntaxError');
      expect((await call('run_python_code', { code: 'print("\\ud800")' })).status).toBe('failed');
    },
    slowMs,
  );

  test(
    'files of the workspace, saved or found',
    async () => {
      const saved = await call('save_to_file_and_run', {
        file_name: 'scripts/helper.py',
        code: 'import os\nresult = os.path.basename(os.getcwd())',
        variable_to_return: 'result',
      });
      expect(saved.output).toContain('result = "workspace"');
      writeFileSync(
        shared.path('scripts', 'main.py'),
        'import helper\nprint(helper.result)\nimport pickle\nclass A: pass\npickle.loads(pickle.dumps(A()))',
      );
      expect((await call('run_python_file_return_variable', { file_name: 'scripts/main.py' })).output).toBe(
        'workspace\n[exit code 0]',
      );
      expect((await call('run_python_file_return_variable', { file_name: '../x.py' })).output).toContain('is outside');
      expect((await call('run_python_file_return_variable', { file_name: 'no.py' })).output).toContain('is not a file');
      expect((await call('save_to_file_and_run', { file_name: '../x.py', code: '' })).status).toBe('failed');
      const kept = await call('save_to_file_and_run', { file_name: 'scripts/helper.py', code: '', overwrite: false });
      expect(kept.output).toContain('exists already');
      expect((await call('read_file', { file_name: 'scripts/main.py' })).output).toStartWith('import helper');
    },
    slowMs,
  );

  test(
    'time and memory have limits',
    async () => {
      const slow = await call('run_python_code', { code: 'import time\nprint("on")\ntime.sleep(60)' }, { timeout: 2 });
      expect(slow.error).toBe('Stopped at its time limit of 2 s');
      expect(slow.output).toContain('on');
      const big = await call(
        'run_python_code',
        { code: 'x = bytearray(900 * 1024 ** 2)\nprint("fits")' },
        { max_memory: '512MB' },
      );
      expect(big.status).toBe('failed');
      expect(big.output).toContain('MemoryError');
    },
    slowMs,
  );
});

test(
  'a program that puts a pipe or a link in the place of the result cannot hold or fool the worker',
  async () => {
    const result = 'import os\np = os.path.join(os.path.dirname(__file__), "result.json")\n';
    for (const make of ['os.mkfifo(p)', 'os.symlink(os.path.abspath("forged.json"), p)']) {
      writeFileSync(shared.path('forged.json'), '{"kind":"json","text":"forged"}');
      const code = `${result}${make}\nos._exit(0)`;
      const { output } = await call('run_python_code', { code, variable_to_return: 'x' });
      expect(output).toBe('[exit code 0]\n[the value of x could not be read]');
    }
  },
  slowMs,
);

describe('restricted imports', () => {
  const restricted = { variant: 'restricted_imports' };

  test.each([
    'import os',
    'import os.path',
    'import math, subprocess',
    'from os import path',
    'from . import x',
    'def f():\n  import socket',
    '__import__("os")',
    'x = __builtins__',
    'eval("1")',
    'exec("import os")',
    'f = eval',
    'getattr(1, "__cl" + "ass__")',
    '().__class__.__base__.__subclasses__()',
    'import random\nrandom._os.system("id")',
    'from random import _os',
    'import json\njson.codecs.builtins.open',
    'import csv as c\nfrom json import codecs as k\nk.sys',
    'import operator\noperator.attrgetter("__init__.__globals__")',
    'from operator import *\nattrgetter("__init__.__globals__")',
    'from operator import methodcaller as m',
    'import string\nstring.Formatter().get_field("0.__class__", (1,), {})',
    'import typing\nclass A:\n  x: "print(1)"\ntyping.get_type_hints(A)',
    'from math import __loader__ as m',
    'match print:\n  case object(__self__=module): print(module)',
    'import helper',
    'def (',
  ])(
    '%j is not run',
    async (code) => {
      const result = await call('run_python_code', { code: `${code}\nprint("ran")` }, restricted);
      expect(result.status).toBe('failed');
      expect(result.output).toStartWith('The code was not run.');
      expect(result.output).not.toContain('\nran');
    },
    slowMs,
  );

  test(
    'what is allowed runs, and a file of the workspace cannot take its name',
    async () => {
      writeFileSync(shared.path('statistics.py'), 'raise SystemExit("hijacked")');
      const code =
        'import math\nfrom datetime import datetime\nimport statistics\nclass A:\n  def __init__(self): self.x = 1\nprint(statistics.mean([1, 3]))';
      const result = await call('run_python_code', { code }, restricted);
      expect(result.output).toBe('2\n[exit code 0]');
      expect(
        (await call('run_python_code', { code: 'import os\nprint(os.sep)' }, { allowed_imports: ['os'] })).output,
      ).toStartWith('/');
      expect((await call('run_python_code', { code: 'import math' }, { allowed_imports: ['os.path'] })).status).toBe(
        'failed',
      );
      expect(() => toolOf('pip_install_package', 'python', restricted)).toThrow('no tool');
    },
    slowMs,
  );
});

describe('packages', () => {
  test.each([
    '-r x',
    '--index-url=http://x',
    '',
    'a b',
    'a; rm',
    'git+https://x/y',
    'a @ file:///x',
    '../outside.whl',
    'missing.whl',
    './nowhere/',
  ])(
    '%j is not a package',
    async (name) => {
      const result = await call('pip_install_package', { package_name: name });
      expect(result.status).toBe('failed');
      expect(result.output).not.toContain('exit code');
    },
    slowMs,
  );

  test(
    'a wheel of the workspace',
    async () => {
      await makeWheel(shared.workspace, 'kubiya_test_one');
      const installed = await call('pip_install_package', { package_name: 'kubiya_test_one-1.0-py3-none-any.whl' });
      expect(installed.status).toBe('success');
      expect(
        (await call('run_python_code', { code: 'import kubiya_test_one\nprint(kubiya_test_one.value)' })).output,
      ).toBe('42\n[exit code 0]');
    },
    slowMs,
  );

  test(
    'requirements.txt is installed when it changes, and its failure is told',
    async () => {
      const wheel = await makeWheel(shared.workspace, 'kubiya_test_two');
      const list = join(python.directory, 'requirements.txt');
      writeFileSync(list, `${wheel}\n`);
      const code = 'import kubiya_test_two\nprint(kubiya_test_two.value)';
      expect((await call('run_python_code', { code })).output).toBe('42\n[exit code 0]');
      writeFileSync(list, '/nowhere/missing-1.0-py3-none-any.whl\n');
      const failed = await call('run_python_code', { code });
      expect(failed.status).toBe('failed');
      expect(failed.output).toContain('requirements.txt could not be installed');
      rmSync(list);
      expect((await call('run_python_code', { code })).status).toBe('success');
    },
    slowMs,
  );
});

describe('the environment', () => {
  test(
    'is made once by calls at the same time, and again when it is broken',
    async () => {
      await using bench = createBench();
      const tool = toolOf('run_python_code', 'python');
      const context = bench.context();
      const run = () => tool.run('{"code":"import sys; print(sys.prefix)"}', context);
      const venv = join(context.python.directory, 'venv');
      const results = await Promise.all([run(), run(), run()]);
      expect(results.map((result) => result.output)).toEqual([1, 2, 3].map(() => `${venv}\n[exit code 0]`));
      expect(bench.live.join('').match(/Creating/g)).toHaveLength(1);
      expect(existsSync(join(venv, 'bin', 'pip'))).toBe(true);
      rmSync(join(venv, 'bin', 'pip'));
      // A lock whose holder died does not stop anyone.
      mkdirSync(`${venv}.lock`);
      writeFileSync(
        join(`${venv}.lock`, 'holder.json'),
        JSON.stringify({ pid: 2 ** 22 + 1, startTime: 'gone', token: 'x' }),
      );
      expect((await run()).status).toBe('success');
      expect(existsSync(join(venv, 'bin', 'pip'))).toBe(true);
      expect(readdirSync(context.python.directory)).toEqual(['venv']);
    },
    slowMs,
  );

  test('without Python there is one clear sentence', async () => {
    await using bench = createBench();
    const result = await toolOf('run_python_code', 'python').run(
      '{"code":"1"}',
      bench.context({ environment: { PATH: '' } }),
    );
    expect(result).toMatchObject({
      status: 'failed',
      output: 'Python tools need Python 3.8 or newer, and there is none on the PATH of the worker',
    });
    const old = bench.path('python3');
    writeFileSync(old, '#!/bin/sh\necho 2 7\n', { mode: 0o755 });
    const context = bench.context({ environment: { PATH: bench.workspace } });
    expect((await toolOf('run_python_code', 'python').run('{"code":"1"}', context)).output).toContain(
      'only 2.7 is on the PATH',
    );
    writeFileSync(old, '#!/bin/sh\necho 3 11\nexit 1\n', { mode: 0o755 });
    expect((await toolOf('run_python_code', 'python').run('{"code":"1"}', context)).output).toContain(
      'install python3-venv',
    );
    expect(readFileSync(old, 'utf8')).toStartWith('#!');
  });

  test('a wait for the lock honours the time limit', async () => {
    await using bench = createBench();
    const context = bench.context();
    mkdirSync(join(context.python.directory, 'venv.lock'));
    const result = await toolOf('run_python_code', 'python', { timeout: 1 }).run('{"code":"1"}', context);
    expect(result.error).toBe('Stopped at its time limit of 1 s');
    expect(existsSync(join(context.python.directory, 'venv'))).toBe(false);
  });
});
