// The tool run_shell_command with real processes: output, limits, stops and what is left behind.
import { describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { drainReason } from '../../../src/tools/tool.ts';
import { createBench, toolOf, until } from './support.ts';

const shell = toolOf('run_shell_command', 'shell');

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z');
  } catch {
    return false;
  }
}

/** A killed process needs a moment to be gone, but not more. */
async function untilGone(pid: number): Promise<void> {
  expect(pid).toBeGreaterThan(1);
  await until(() => !isAlive(pid), 500);
}

describe('what a command returns', () => {
  test('its output in order, its exit code, and the same output live', async () => {
    await using bench = createBench();
    const command = 'echo one; echo two >&2; echo three; echo four >&2';
    const result = await shell.run(JSON.stringify({ command }), bench.context());
    expect(result.status).toBe('success');
    expect(result.output).toBe('one\ntwo\nthree\nfour\n[exit code 0]');
    expect(bench.live.join('')).toBe('one\ntwo\nthree\nfour\n');
    expect(result.originalBytes).toBeUndefined();
  });

  test('a failure with its exit code', async () => {
    await using bench = createBench();
    const result = await shell.run('{"command":"echo no; exit 3"}', bench.context());
    expect(result).toMatchObject({
      status: 'failed',
      output: 'no\n[exit code 3]',
      error: 'The command ended with exit code 3',
    });
  });

  test('arguments without a shell, and its last lines', async () => {
    await using bench = createBench();
    const args = await shell.run('{"args":["printf","%s\\n","a b","$HOME","; exit 3"]}', bench.context());
    expect(args.output).toBe('a b\n$HOME\n; exit 3\n[exit code 0]');
    const tail = await shell.run('{"command":"seq 100","tail":2}', bench.context());
    expect(tail.output).toBe('99\n100\n[exit code 0]');
  });

  test('no NUL, and bad UTF-8 replaced', async () => {
    await using bench = createBench();
    const result = await shell.run(JSON.stringify({ command: "printf 'a\\0b\\377c🙂'" }), bench.context());
    expect(result.output).toBe('ab\uFFFDc🙂\n[exit code 0]');
    expect(bench.live.join('')).not.toContain('\0');
  });

  test('an empty stdin, the call id and only the given environment', async () => {
    await using bench = createBench();
    const result = await shell.run('{"command":"cat; env | cut -d= -f1 | sort"}', bench.context());
    const names = result.output.split('\n');
    expect(names).toContain('KUBIYA_CALL_ID');
    expect(
      names.filter((name) => !/^(HOME|PATH|LANG|KUBIYA_CALL_ID|KUBIYA_INSTANCE|PWD|OLDPWD|SHLVL|_|\[.*)$/.test(name)),
    ).toEqual([]);
  });

  test('100 MB in bounded memory', async () => {
    await using bench = createBench();
    const before = process.memoryUsage().rss;
    let liveBytes = 0;
    const onOutput = (chunk: string): void => void (liveBytes += chunk.length);
    const command = 'echo first; head -c 100000000 /dev/zero | tr "\\0" x; echo; echo last';
    const result = await shell.run(JSON.stringify({ command }), bench.context({ onOutput }));
    expect(result.status).toBe('success');
    expect(result.output).toStartWith('first\nx');
    expect(result.output).toEndWith('last\n[exit code 0]');
    expect(Buffer.byteLength(result.output)).toBeLessThanOrEqual(100_000);
    expect(result.originalBytes).toBe(100_000_012);
    expect(liveBytes).toBe(100_000_012);
    expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
  });
});

describe('what stops a command', () => {
  test('a cancel ends its whole group', async () => {
    await using bench = createBench();
    const controller = new AbortController();
    const command = 'sleep 300 & echo $! > one; bash -c "sleep 300 & echo \\$! > two; wait" & wait';
    const running = shell.run(JSON.stringify({ command }), bench.context({ signal: controller.signal }));
    await until(() => existsSync(bench.path('one')) && existsSync(bench.path('two')));
    await until(() => readFileSync(bench.path('two'), 'utf8') !== '');
    const pids = ['one', 'two'].map((name) => Number(readFileSync(bench.path(name), 'utf8')));
    expect(pids.every(isAlive)).toBe(true);
    controller.abort();
    const result = await running;
    expect(result.status).toBe('cancelled');
    for (const pid of pids) await untilGone(pid);
  });

  test('a command that ignores SIGTERM is killed after its grace', async () => {
    await using bench = createBench();
    const controller = new AbortController();
    const command = 'trap "" TERM; echo ready; while :; do sleep 0.1; done';
    const running = shell.run(JSON.stringify({ command }), bench.context({ signal: controller.signal }));
    await until(() => bench.live.join('').includes('ready'));
    const before = performance.now();
    controller.abort(drainReason);
    const result = await running;
    expect(result.status).toBe('interrupted');
    expect(result.output).toStartWith('ready\n');
    expect(performance.now() - before).toBeWithin(1_900, 4_000);
  });

  test('its time limit, with what it said until then', async () => {
    await using bench = createBench();
    const result = await shell.run('{"command":"echo begun; sleep 60","timeout_seconds":1}', bench.context());
    expect(result).toMatchObject({ status: 'failed', error: 'Stopped at its time limit of 1 s' });
    expect(result.output).toContain('begun');
    expect(result.output).toContain('[Stopped at its time limit of 1 s]');
    expect(result.durationMs).toBeWithin(900, 2_500);
    const capped = await shell.run('{"command":"sleep 60"}', bench.context({ limits: { timeoutMs: 300 } }));
    expect(capped.error).toBe('Stopped at its time limit of 0.3 s');
  });

  test('a signal that was aborted before it started', async () => {
    await using bench = createBench();
    const result = await shell.run('{"command":"touch ran"}', bench.context({ signal: AbortSignal.abort() }));
    expect(result.status).toBe('cancelled');
    expect(existsSync(bench.path('ran'))).toBe(false);
  });

  test('a child in the background does not hold the call and is ended', async () => {
    await using bench = createBench();
    const result = await shell.run('{"command":"sleep 1000 & echo $!"}', bench.context());
    expect(result.status).toBe('success');
    expect(result.durationMs).toBeLessThan(1_000);
    expect(result.output).toContain('processes left in the background were ended');
    await untilGone(Number(result.output.split('\n')[0]));
  });

  test.if(process.platform === 'linux')('a child in a session of its own is ended too', async () => {
    await using bench = createBench();
    const stray = 'setsid sh -c "echo \\$\\$ > stray; exec sleep 1000" & sleep 0.3; cat stray';
    const background = await shell.run(JSON.stringify({ command: stray }), bench.context());
    expect(background.status).toBe('success');
    expect(background.durationMs).toBeLessThan(2_000);
    expect(background.output).toContain('processes left in the background were ended');
    await untilGone(Number(background.output.split('\n')[0]));

    const controller = new AbortController();
    const command = 'setsid sh -c "echo \\$\\$ > pid; exec sleep 1000 > /dev/null" & wait';
    const running = shell.run(JSON.stringify({ command }), bench.context({ signal: controller.signal }));
    await until(() => existsSync(bench.path('pid')) && readFileSync(bench.path('pid'), 'utf8') !== '');
    const pid = Number(readFileSync(bench.path('pid'), 'utf8'));
    expect(isAlive(pid)).toBe(true);
    controller.abort();
    expect((await running).status).toBe('cancelled');
    await untilGone(pid);
  });
});

describe('what cannot run', () => {
  test.each([
    ['{"command":"ls","args":["ls"]}', 'Give either command or args'],
    ['{}', 'Give either command or args'],
    ['{"command":"  "}', 'Give either command or args'],
    ['{"args":[]}', 'Give either command or args'],
    ['{"command":"ls\\u0000"}', 'NUL byte'],
    ['{"command":"ls","working_directory":"missing"}', 'does not exist'],
    ['{"args":["no-such-program-here"]}', 'not found'],
    ['{"args":["/"]}', 'exit code 126'],
  ])('%s', async (rawArguments, words) => {
    await using bench = createBench();
    const result = await shell.run(rawArguments, bench.context());
    expect(result.status).toBe('failed');
    expect(result.output).toContain(words);
  });
});

describe('configuration', () => {
  test('a blocked command is not run', async () => {
    await using bench = createBench();
    writeFileSync(bench.path('kept'), '');
    const safe = toolOf('run_shell_command', 'shell', { variant: 'safe_commands' });
    const result = await safe.run('{"command":"ls; rm kept"}', bench.context());
    expect(result).toMatchObject({ status: 'failed', output: 'The command was not run: rm is a blocked command' });
    expect(existsSync(bench.path('kept'))).toBe(true);
    const args = await safe.run('{"args":["rm","kept"]}', bench.context());
    expect(args.status).toBe('failed');
  });

  test('read_only has the effect read_only and does not write', async () => {
    await using bench = createBench();
    const reading = toolOf('run_shell_command', 'shell', { variant: 'read_only' });
    expect(reading.effect('{"command":"ls"}')).toBe('read_only');
    expect(shell.effect('{"command":"ls"}')).toBe('side_effecting');
    expect(shell.effect('not json')).toBe('read_only');
    const own = toolOf('run_shell_command', 'shell', { variant: 'read_only', allowed_commands: ['make'] });
    expect(own.effect('{"command":"make"}')).toBe('side_effecting');
    expect((await reading.run('{"command":"ls | wc -l"}', bench.context())).status).toBe('success');
    expect((await reading.run('{"command":"echo x > out"}', bench.context())).status).toBe('failed');
    expect(existsSync(bench.path('out'))).toBe(false);
  });

  test('a configured time limit is a ceiling, the default is not', async () => {
    await using bench = createBench();
    const limited = toolOf('run_shell_command', 'shell', { timeout: 1 });
    const result = await limited.run('{"command":"sleep 30","timeout_seconds":20}', bench.context());
    expect(result.error).toBe('Stopped at its time limit of 1 s');
  });

  test('directory, variables and output size', async () => {
    await using bench = createBench();
    mkdirSync(bench.path('inner', 'deep'), { recursive: true });
    const tool = toolOf('run_shell_command', 'shell', {
      working_directory: 'inner',
      environment_variables: { WORD: 'hello', NUMBER: 3 },
      max_output_size: '4KB',
    });
    const result = await tool.run('{"command":"pwd; echo $WORD $NUMBER","working_directory":"deep"}', bench.context());
    expect(result.output).toBe(`${bench.path('inner', 'deep')}\nhello 3\n[exit code 0]`);
    const long = await tool.run('{"command":"seq 100000"}', bench.context());
    expect(Buffer.byteLength(long.output)).toBeLessThan(4_200);
    expect(long.originalBytes).toBe(588_895);
  });
});
