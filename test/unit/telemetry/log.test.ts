// What a log line looks like, byte by byte, and that nothing makes the log fail.
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { KubiyaError } from '../../../src/errors.ts';
import { createLog, type LogOptions } from '../../../src/telemetry/log.ts';
import { lineBody } from '../../../src/telemetry/log-line.ts';
import { createRedactor } from '../../../src/telemetry/redact.ts';

const root = mkdtempSync(join(tmpdir(), 'log-'));
let path = '';
beforeEach(() => {
  path = join(mkdtempSync(join(root, 'case-')), 'worker.log');
});
afterAll(() => rmSync(root, { recursive: true }));

const open = (options: Partial<LogOptions> = {}) =>
  createLog({
    component: 'worker',
    level: 'debug',
    format: 'text',
    redactor: createRedactor(),
    file: { path, bytesMax: 1_000_000, backups: 1 },
    ...options,
  });
const lines = (): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);
/** Lines without their time, which is checked on its own. */
const withoutTime = (): string[] => lines().map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /, ''));

describe('text', () => {
  test('time, level, component, message, fields', () => {
    const log = open();
    log.info('Connected to Temporal', { address: 'localhost:7233', namespace: 'default' });
    log.child('metrics').warn('Metrics: tasks_completed=42, tasks_failed=0');
    log.child('a').child('b').error('Activity failed');
    log.debug('');
    expect(lines()[0]).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[INFO\] worker: Connected to Temporal address=/,
    );
    expect(withoutTime()).toEqual([
      '[INFO] worker: Connected to Temporal address=localhost:7233 namespace=default',
      '[WARN] metrics: Metrics: tasks_completed=42, tasks_failed=0',
      '[ERROR] b: Activity failed',
      '[DEBUG] worker: ',
    ]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('values are quoted where a reader could not tell their end, and undefined is left out', () => {
    open().info('x', {
      a: 'two words',
      b: 'k=v',
      c: 'say "hi"',
      d: '',
      e: 'back\\slash',
      f: undefined,
      g: null,
      h: 1.5,
      i: [1, 'a b'],
    });
    expect(withoutTime()).toEqual([
      String.raw`[INFO] worker: x a="two words" b="k=v" c="say \"hi\"" d="" e="back\\slash" g=null h=1.5 i="[1,\"a b\"]"`,
    ]);
  });

  test('one entry is one line and cannot steer a terminal, whatever it holds', () => {
    open().info('a\nb\x1b[31mred\u0085\u2028', { value: 'x\r\n\ty\x9b', plain: 'a\x07b' });
    expect(withoutTime()).toEqual([
      String.raw`[INFO] worker: a\nb\u001b[31mred\u0085\u2028 value="x\u000d\n\ty\u009b" plain=a\u0007b`,
    ]);
  });

  test('percent signs and the names of our own fields are only text', () => {
    open().info('100 %s %d %o', { msg: 'm', level: 'l', time: 't', component: 'c' });
    expect(withoutTime()).toEqual(['[INFO] worker: 100 %s %d %o msg=m level=l time=t component=c']);
  });

  test('the quick way writes what the other one does', () => {
    const text = fc.oneof(fc.string({ maxLength: 20 }), fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constant(''));
    const number = fc.oneof(fc.integer(), fc.double(), fc.nat({ max: 2_000_000_000 }));
    const value = fc.oneof(text, number, fc.boolean(), fc.constant(null), fc.constant(undefined), fc.array(text));
    const fields = fc.dictionary(fc.stringMatching(/^[a-z][a-z_]{0,8}$/), value, { maxKeys: 6 });
    const seen: string[] = [];
    const log = open({ file: undefined, onLine: (line) => seen.push(line) });
    fc.assert(
      fc.property(text, fields, (message, given) => {
        log.info(message, given);
        expect(seen.pop()?.slice(25)).toBe(`[INFO] worker: ${lineBody(message, given, (whole) => whole)}`);
      }),
      { numRuns: 3_000 },
    );
  });

  test('an error of the user shows its sentence, a bug its stack, both their causes', () => {
    const cause = new Error('the disk is gone');
    const error = new KubiyaError('The journal cannot be written', { kind: 'configuration', code: 'disk_full', cause });
    open().error('Stopped', { error });
    open().error('Bug', { error: new TypeError('x is not a function') });
    const [first = '', second = ''] = withoutTime();
    expect(first).toStartWith(
      String.raw`[ERROR] worker: Stopped error="The journal cannot be written (disk_full)\ncaused by: Error: the disk is gone\n`,
    );
    expect(second).toMatch(/error="TypeError: x is not a function\\n +at .*log\.test\.ts:\d+/);
  });

  test('a level leaves out what is below it', () => {
    const log = open({ level: 'warn' });
    log.debug('1');
    log.info('2');
    log.child('x').info('3');
    log.warn('4');
    log.error('5');
    expect(withoutTime()).toEqual(['[WARN] worker: 4', '[ERROR] worker: 5']);
  });

  test('a value that is too long is cut after its secrets are gone', () => {
    const redactor = createRedactor();
    redactor.register('s3cret-value');
    open({ redactor }).info('x', { long: `${'a'.repeat(7_995)}s3cret-value${'b'.repeat(100)}` });
    expect(lines()[0]?.length).toBeLessThan(8_200);
    expect(lines()[0]).not.toContain('s3cre');
    expect(lines()[0]).toContain('characters)');
  });
});

test('json is what pino writes', () => {
  const log = open({ format: 'json' });
  log.child('gateway').warn('Model "x"\nfailed', { status: 503, error: new Error('no') });
  const [line = ''] = lines();
  const entry: unknown = JSON.parse(line);
  expect(entry).toMatchObject({
    level: 40,
    pid: process.pid,
    msg: 'Model "x"\nfailed',
    status: 503,
    error: { type: 'Error', message: 'no' },
  });
  expect(entry).toHaveProperty('component', 'gateway');
  expect(Math.abs((entry as { time: number }).time - Date.now())).toBeLessThan(10_000);
});

test.each(['text', 'json'] as const)('secrets are in no %s line, whichever way they come', (format) => {
  const redactor = createRedactor();
  const secret = 'pa"ss\\wo\nrd-€1234';
  const seen: string[] = [];
  const log = open({ redactor, format, onLine: (line) => seen.push(line) });
  redactor.register(secret);
  log.info(`in the message ${secret}`, { field: secret, nested: { deep: [secret] }, error: new Error(secret) });
  log
    .child('x')
    .info('text', { json: JSON.stringify({ secret }), basic: Buffer.from(`user:${secret}`).toString('base64') });
  const content = readFileSync(path, 'utf8');
  for (const part of ['pa"ss', 'pa\\"ss', 'pa\\\\\\"ss', 'rd-€1234', 'cGEic3N', 'BhInNzXHdv', 'YSJzc1']) {
    expect(content).not.toContain(part);
  }
  expect(content.match(/\[redacted\]/g)?.length).toBeGreaterThanOrEqual(6);
  expect(seen.join('\n')).toBe(content.trimEnd());
});

describe('never a reason to fail', () => {
  test.each(['text', 'json'] as const)('odd fields in %s', (format) => {
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = cyclic;
    const loop = new Error('loop');
    loop.cause = loop;
    const log = open({ format });
    log.info('cycle', { cyclic });
    log.info('bigint', { big: 10n, nested: { big: 10n } });
    log.info('getter', {
      get bad(): string {
        throw new Error('no');
      },
    });
    log.info('symbol', { symbol: Symbol('s'), action: () => 1, nothing: Object.create(null) as unknown });
    log.info('error', { loop, error: loop });
    for (const word of ['cycle', 'bigint', 'getter', 'symbol', 'error']) {
      expect(lines().filter((line) => line.includes(word)).length).toBeGreaterThanOrEqual(1);
    }
    expect(lines()).toHaveLength(5);
  });

  test('a file that cannot be written is counted', () => {
    writeFileSync(path, 'a file where the directory should be');
    const log = open({ file: { path: join(path, 'worker.log'), bytesMax: 1_000, backups: 0 } });
    log.info('lost');
    log.child('x').info('lost');
    expect(log).toMatchObject({ linesLost: 2, lastError: { code: 'ENOTDIR' } });
    rmSync(path);
    log.info('kept');
    path = join(path, 'worker.log');
    expect(withoutTime()).toEqual(['[WARN] log: 2 lines could not be written (ENOTDIR)', '[INFO] worker: kept']);
  });

  test('without a file it is quiet', () => {
    const log = open({ file: undefined });
    log.info('x');
    expect(log.linesLost).toBe(0);
    log.close();
  });
});

test('every file starts with its header and a rotated one says where the log goes on', () => {
  const header = () => ({ message: 'Kubiya worker', fields: { version: '1.2.3' } });
  const log = open({ file: { path, bytesMax: 400, backups: 3, header } });
  for (let count = 0; count < 6; count += 1) log.info('y'.repeat(60));
  log.close();
  expect(withoutTime()[0]).toBe('[INFO] log: Kubiya worker version=1.2.3');
  const rotated = readFileSync(`${path}.1`, 'utf8').trimEnd().split('\n');
  expect(rotated[0]).toEndWith('[INFO] log: Kubiya worker version=1.2.3');
  expect(rotated.at(-1)).toEndWith(`[INFO] log: The log goes on in a new file file=${path}`);
  expect(statSync(`${path}.1`).size).toBeLessThanOrEqual(400);
});

describe('stderr', () => {
  const fixture = join(import.meta.dirname, '../../fixtures/telemetry/stderr-log.ts');
  const run = (stderr: string, command: string) =>
    Bun.spawnSync(['sh', '-c', command, process.execPath, fixture, stderr], { stdout: 'pipe' }).stdout.toString();

  test('gets plain lines, or coloured ones, every one of them', () => {
    const plain = run('plain', '"$0" "$@" 2>&1 >/dev/null').split('\n');
    expect(plain[0]).toMatch(/^\S+Z \[WARN\] worker: hello n=0$/);
    expect(plain).toHaveLength(5_001);
    const coloured = run('colour', '"$0" "$@" 2>&1 >/dev/null').split('\n')[0] ?? '';
    expect(coloured.replace(/^\S+/, '')).toBe(' \u001b[33m[WARN]\u001b[0m worker: hello n=0');
  });

  test('a file is appended to, not written over', () => {
    writeFileSync(path, '');
    expect(run('plain', `{ echo before >&2; "$0" "$@"; } 2>"${path}"`)).toStartWith('done');
    expect(lines()).toHaveLength(5_001);
    expect(lines()[0]).toBe('before');
  });

  test('a reader that went away is no error', () => {
    const command = '{ { "$0" "$@" 2>&1 >&3; echo "exit $?" >&3; } | true; } 3>&1';
    expect(run('plain', command).split('\n').slice(0, 3)).toEqual([expect.stringMatching(/^done/), 'exit 0', '']);
  });

  test('a reader that is slow gets everything, and one that stopped reading holds nobody', () => {
    // 5,000 lines are several times what a pipe holds.
    const slow = '{ { "$0" "$@" 2>&1 >&3; } | { sleep 0.3; wc -l >&3; }; } 3>&1';
    expect(run('plain', slow).split('\n').at(-2)?.trim()).toBe('5000');
    const stopped = '{ { "$0" "$@" 2>&1 >&3; echo "exit $?" >&3; } | sleep 3; } 3>&1';
    const [done = '', exit] = run('plain', stopped).split('\n');
    expect(Number(/done in (\d+)/.exec(done)?.[1])).toBeLessThan(1_000);
    expect(exit).toBe('exit 0');
  });

  test('what a reader has missed is said when it reads again', () => {
    const text = run('plain', '{ { "$0" "$@" 60000 2>&1 >&3; } | { sleep 0.3; cat >&3; }; } 3>&1');
    const shown = text.split('\n').filter((line) => line.includes('hello')).length;
    expect(Number(/^(\d+) lines are not shown here/m.exec(text)?.[1])).toBe(60_000 - shown);
    expect(shown).toBeGreaterThan(20_000);
  });
});
