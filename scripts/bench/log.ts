// What a log line costs with rotation and redaction, beside bare synchronous writes of the same lines and beside pino-roll.
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import pinoRoll from 'pino-roll';
import { createLog, type LogFormat } from '../../src/telemetry/log.ts';
import { createRedactor } from '../../src/telemetry/redact.ts';
import { createReport } from './support/report.ts';

const linesCount = 200_000;
const bytesMax = 10_000_000;
/** So many that nothing is deleted and every line can be counted. */
const backups = 50;
/** Each in turns, so that a neighbour slows all. */
const rounds = 7;
/** Made before the clock runs: making them is not the log's work. */
const executions = Array.from({ length: 1_000 }, () => crypto.randomUUID());
const message = 'Activity completed, in the words of an ordinary entry';

const directory = mkdtempSync(join(tmpdir(), 'kubiya-bench-'));
try {
  const redactor = createRedactor();
  for (const secret of secrets()) redactor.register(secret);
  const times: Record<string, number[]> = { text: [], json: [], bare: [], 'pino-roll': [] };
  for (let round = -1; round < rounds; round += 1) {
    const { lines, ms } = writeLog('text', redactor);
    const all = {
      text: ms,
      bare: writeBare(lines),
      json: writeLog('json', redactor).ms,
      'pino-roll': await writePinoRoll(),
    };
    if (round >= 0) for (const [name, value] of Object.entries(all)) times[name]?.push(value);
  }
  const report = createReport();
  const perLine = (name: string): number[] => (times[name] ?? []).map((ms) => (ms / linesCount) * 1_000);
  report.add('our text, rotating, 20 secrets', 'µs/line', perLine('text'));
  report.add('our JSON, rotating, 20 secrets', 'µs/line', perLine('json'));
  report.add('the same lines, bare writeSync', 'µs/line', perLine('bare'));
  report.add('pino-roll (asynchronous, no redaction)', 'µs/line', perLine('pino-roll'));
  // The best of each: load only ever adds, and it comes and goes within a round.
  const share = Math.min(...perLine('bare')) / Math.min(...perLine('text'));
  report.ratio('our text has so much of the bare speed', share, { bar: 0.6, isMoreBetter: true });
  report.print(`${linesCount} lines; none lost or split, no file over ${bytesMax} bytes`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** Writes every line and counts what is on disk. */
function writeLog(format: LogFormat, redactor: ReturnType<typeof createRedactor>): { lines: string[]; ms: number } {
  const own = mkdtempSync(join(directory, 'own-'));
  const path = join(own, 'worker.log');
  const log = createLog({ component: 'worker', level: 'info', format, redactor, file: { path, bytesMax, backups } });
  Bun.gc(true);
  const startedAt = performance.now();
  for (let number = 0; number < linesCount; number += 1) log.info(message, fieldsOf(number));
  const ms = performance.now() - startedAt;
  log.close();
  const files = readdirSync(own).map((name) => join(own, name));
  const tooLarge = files.filter((file) => statSync(file).size > bytesMax);
  const number = format === 'text' ? / number=(\d+)\n$/ : /"number":(\d+),"msg":".*"\}\n$/;
  const lines = files.flatMap((file) => readFileSync(file, 'utf8').split(/(?<=\n)/));
  const numbers = new Set(lines.flatMap((line) => number.exec(line)?.[1] ?? []));
  if (tooLarge.length > 0) throw new Error(`over the limit: ${tooLarge.join(', ')}`);
  if (numbers.size !== linesCount || log.linesLost > 0) throw new Error(`${linesCount - numbers.size} lines are lost`);
  rmSync(own, { recursive: true });
  return { lines: lines.slice(0, linesCount), ms };
}

function writeBare(lines: readonly string[]): number {
  const path = join(directory, 'bare.log');
  const file = openSync(path, 'a');
  Bun.gc(true);
  const startedAt = performance.now();
  for (const line of lines) writeSync(file, line);
  const ms = performance.now() - startedAt;
  closeSync(file);
  rmSync(path);
  return ms;
}

/** Until its last line has been handed to the system. */
async function writePinoRoll(): Promise<number> {
  const own = mkdtempSync(join(directory, 'roll-'));
  const stream = await pinoRoll({ file: join(own, 'worker.log'), size: `${bytesMax / 1_000_000}m` });
  const logger = pino({ base: { component: 'worker' } }, stream);
  Bun.gc(true);
  const startedAt = performance.now();
  for (let number = 0; number < linesCount; number += 1) logger.info(fieldsOf(number), message);
  await new Promise((resolve) => {
    stream.once('close', resolve);
    stream.end();
  });
  const ms = performance.now() - startedAt;
  rmSync(own, { recursive: true });
  return ms;
}

/** About 200 bytes a line. */
function fieldsOf(number: number): Record<string, string | number> {
  return {
    execution: executions[number % executions.length] ?? '',
    turn: number % 16,
    tool: 'run_shell_command',
    duration_ms: number % 5_000,
    number,
  };
}

/** Seventeen tokens, a private key, a service account and a password that needs escapes. */
function secrets(): readonly string[] {
  const random = (length: number): string =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(length)))
      .toString('base64')
      .slice(0, length);
  const key = Array.from({ length: 26 }, () => random(64)).join('\n');
  return [
    ...Array.from({ length: 17 }, () => `sk-${random(40)}`),
    `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----`,
    JSON.stringify({ type: 'service_account', private_key_id: random(40), token: random(36) }),
    `pa"ss\\wo\nrd-${random(10)}`,
  ];
}
