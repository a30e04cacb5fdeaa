// Runs the test files, each in a process of its own: `bun run test [PATH …] [--everything]`; the last line is `N passed, N failed`.
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createId } from '../src/lib/ids.ts';
import { killGroup } from '../src/lib/kill-group.ts';
import { processesWithMarker, sweepByMarker } from '../src/lib/process-tree.ts';
import { hostTarget } from './targets.ts';
import { generate, root } from './generate.ts';
import { compressionLevels } from './temporal-server.ts';

/** What breaks most is tried first; the built binary and the long runs come last. A folder not named here runs before `test/cli`. */
const order = [
  'test/tidy.test.ts',
  'test/unit',
  '',
  'test/cli',
  'test/webui',
  'test/deploy',
  'test/binary',
  'test/replay',
  'test/chaos',
  'test/soak',
];

/** Limits for a whole file and for one test, by folder; generous, because a slow machine is no defect. */
const limits: readonly { readonly folder: string; readonly fileMs: number; readonly testMs: number }[] = [
  { folder: 'test/chaos', fileMs: 30 * 60_000, testMs: 20 * 60_000 },
  { folder: 'test/binary', fileMs: 10 * 60_000, testMs: 3 * 60_000 },
  { folder: 'test/node', fileMs: 10 * 60_000, testMs: 3 * 60_000 },
  { folder: 'test/unit', fileMs: 2 * 60_000, testMs: 20_000 },
  { folder: 'test', fileMs: 5 * 60_000, testMs: 60_000 },
];

/** Unit tests share nothing; everything else may start servers and is alone, so that a timing means something. */
const unitFilesAtOnce = 2;

/** What a test started is gone this long after it at the latest: the promise that the product makes for kill -9. */
const leftoverGraceMs = 2_000;

/** Tests that may be skipped, `file > name` → reason; any other skipped test counts as failed. */
const allowedSkips: Readonly<Record<string, string>> = {};

/** What tests get of our environment: enough to find programs and registries, no key and no setting of the person who runs them. */
const environmentNames =
  /^(PATH|LANG|LC_\w+|TZ|TERM|USER|LOGNAME|SHELL|TMPDIR|CI|\w+_PROXY|\w+_proxy|SSL_CERT_\w+|NODE_EXTRA_CA_CERTS|REQUESTS_CA_BUNDLE|KUBIYA_TEST_SEED|PIP_\w+|UV_\w+|PYENV_\w+|npm_config_\w+)$/;

interface Outcome {
  readonly passed: number;
  readonly failures: readonly string[];
}

async function main(args: readonly string[]): Promise<number> {
  const patterns = args.filter((argument) => !argument.startsWith('-'));
  // Sources import `#generated/…`, and tests of the server run the program that this leaves in the cache.
  await generate({ target: hostTarget(), devServerLevel: compressionLevels.everyday });
  const files = findFiles(patterns);
  const home = mkdtempSync(join(tmpdir(), 'kubiya-test-home-'));
  const groups = new Set<number>();
  stopOnSignal(groups, home);
  const outcomes: Outcome[] = args.includes('--everything') ? await runSteps() : [];
  const queue = [...files];
  const runners = Array.from({ length: unitFilesAtOnce }, async () => {
    for (let file = nextUnit(queue); file !== undefined; file = nextUnit(queue))
      outcomes.push(await runFile(file, home, groups));
  });
  await Promise.all(runners);
  for (const file of queue) outcomes.push(await runFile(file, home, groups));
  rmSync(home, { recursive: true, force: true });
  const failures = outcomes.flatMap((outcome) => outcome.failures);
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  for (const failure of failures) console.log(`(fail) ${failure}`);
  console.log(`${passed} passed, ${failures.length} failed`);
  return failures.length > 0 || passed === 0 ? 1 : 0;
}

/** The check and the build, each counted as one test; the tests of the binary need the build. */
async function runSteps(): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const step of [['scripts/check.ts'], ['scripts/build.ts', '--if-changed']]) {
    const child = Bun.spawn([process.execPath, 'run', ...step], {
      cwd: root,
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
    });
    const isPassed = (await child.exited) === 0;
    outcomes.push(isPassed ? { passed: 1, failures: [] } : { passed: 0, failures: [step.join(' ')] });
  }
  return outcomes;
}

/** Test files in their order; a pattern is a part of a path. */
function findFiles(patterns: readonly string[]): string[] {
  const isWanted = (path: string): boolean =>
    patterns.length === 0 || patterns.some((pattern) => path.includes(pattern));
  const rankOf = (path: string): number => {
    const rank = order.findIndex((prefix) => prefix !== '' && path.startsWith(prefix));
    return rank === -1 ? order.indexOf('') : rank;
  };
  const files = [...new Bun.Glob('test/**/*.test.ts').scanSync({ cwd: root })].filter(isWanted);
  return files.toSorted((first, second) => rankOf(first) - rankOf(second) || (first < second ? -1 : 1));
}

function nextUnit(queue: string[]): string | undefined {
  const isUnit = (file: string | undefined): boolean => file !== undefined && /^test\/(unit\/|tidy)/.test(file);
  return isUnit(queue[0]) ? queue.shift() : undefined;
}

async function runFile(file: string, home: string, groups: Set<number>): Promise<Outcome> {
  const limit = limits.find(({ folder }) => file.startsWith(folder)) ?? { fileMs: 60_000, testMs: 20_000 };
  const ownHome = join(home, file.replaceAll('/', '-'));
  mkdirSync(ownHome);
  const report = `${ownHome}.xml`;
  const marker = `test-run-${createId()}`;
  const inherited = Object.entries(process.env).filter(([name]) => environmentNames.test(name));
  // Tests start `bun`, and scripts/setup.sh may have put it where nobody else finds it.
  const searchPath = `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`;
  // A file, not a pipe: whatever a test leaves running cannot keep us waiting for its end.
  const log = `${ownHome}.log`;
  const descriptor = openSync(log, 'w');
  const reporter = ['--reporter=junit', `--reporter-outfile=${report}`];
  const child = Bun.spawn([process.execPath, 'test', `./${file}`, `--timeout=${limit.testMs}`, ...reporter], {
    cwd: root,
    env: { ...Object.fromEntries(inherited), PATH: searchPath, HOME: ownHome, KUBIYA_INSTANCE: marker },
    stdio: ['ignore', descriptor, descriptor],
    detached: true,
  });
  closeSync(descriptor);
  groups.add(child.pid);
  let isOverdue = false;
  const timer = setTimeout(() => {
    isOverdue = true;
    killGroup(child.pid, 'SIGKILL');
  }, limit.fileMs);
  const code = await child.exited;
  clearTimeout(timer);
  for (let waitedMs = 0; waitedMs < leftoverGraceMs && processesWithMarker(marker).length > 0; waitedMs += 100)
    await Bun.sleep(100);
  const hasLeftover = sweepByMarker(marker) > 0;
  killGroup(child.pid, 'SIGKILL');
  groups.delete(child.pid);
  console.log(readFileSync(log, 'utf8').trimEnd());
  const outcome = readReport(file, report);
  const failures = [...outcome.failures];
  if (isOverdue) failures.push(`${file}: not done after ${limit.fileMs / 1000} s`);
  else if (hasLeftover) failures.push(`${file}: left a process running`);
  if (failures.length === 0 && (code !== 0 || outcome.passed === 0)) {
    failures.push(`${file}: ended with ${code} and ${outcome.passed} tests passed`);
  }
  return { passed: outcome.passed, failures };
}

function readReport(file: string, path: string): Outcome {
  if (!existsSync(path)) return { passed: 0, failures: [] };
  const cases = readFileSync(path, 'utf8').matchAll(
    /<testcase name="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g,
  );
  let passed = 0;
  const failures: string[] = [];
  for (const [, name = '', group = '', inside = ''] of cases) {
    const title = unescapeXml([file, group, name].filter(Boolean).join(' > '));
    if (inside.includes('<failure') || inside.includes('<error')) failures.push(title);
    else if (!inside.includes('<skipped')) passed += 1;
    else if (allowedSkips[title] === undefined) failures.push(`${title}: skipped`);
    else console.log(`(skip) ${title}: ${allowedSkips[title]}`);
  }
  return { passed, failures };
}

function unescapeXml(text: string): string {
  const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replaceAll(/&(lt|gt|quot|apos|amp);/g, (whole, name: string) => entities[name] ?? whole);
}

function stopOnSignal(groups: ReadonlySet<number>, home: string): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      for (const group of groups) killGroup(group, 'SIGKILL');
      rmSync(home, { recursive: true, force: true });
      process.exit(130);
    });
  }
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
