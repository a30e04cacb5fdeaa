// What test/tidy.test.ts enforces, as data: who may import whom, which names are kept behind which door, and why.

export interface Area {
  /** Areas it may import from; itself always. */
  readonly may: readonly string[];
  /** Areas of which it may import types only. */
  readonly types?: readonly string[];
  /** Areas it may load with `import()`, or import types of. */
  readonly lazy?: readonly string[];
  /** True when everything it reaches must run anywhere: no `node:`, no `bun`. */
  readonly isPure?: boolean;
  readonly reason: string;
}

const floor = ['lib', 'errors', 'version'];
const base = [...floor, 'protocol'];
const seen = [...base, 'telemetry', 'config', 'controlplane'];

/** The table of ARCHITECTURE.md; the area of a file is the longest of these names that its path below src begins with. */
export const areas: Readonly<Record<string, Area>> = {
  lib: { may: ['errors'], reason: 'the floor stands on nothing' },
  errors: { may: [], reason: 'the floor stands on nothing' },
  version: { may: [], reason: 'the floor stands on nothing' },
  'generated.d': { may: [], reason: 'declares what scripts/generate.ts writes' },
  protocol: { may: ['lib'], isPure: true, reason: 'shapes load anywhere: in the workflow sandbox and in the browser' },
  agent: {
    may: ['protocol', 'lib'],
    isPure: true,
    reason: 'it replays inside the workflow: no input, no output, no clock',
  },
  telemetry: { may: base, reason: 'everything logs, so it depends on nothing that logs' },
  config: { may: base, reason: 'reading configuration opens no connection' },
  controlplane: { may: [...base, 'telemetry'], reason: 'a client knows the protocol, not who uses it' },
  gateway: { may: [...base, 'telemetry'], reason: 'it does not know who asks' },
  tools: { may: [...base, 'telemetry'], reason: 'tools do not know Temporal' },
  'worker/workflows': {
    may: ['agent', 'protocol'],
    types: ['worker'],
    isPure: true,
    reason: 'workflows are deterministic: activities are types here',
  },
  worker: {
    may: [...base, 'agent', 'tools', 'gateway', 'controlplane', 'telemetry'],
    types: ['config'],
    reason: 'it is handed a finished session and never loads configuration',
  },
  server: {
    may: [...base, 'telemetry'],
    types: ['config'],
    reason: 'client and server are two sides of one contract; model clients are injected by processes',
  },
  supervisor: { may: [...base, 'telemetry'], reason: 'it must outlive every bug of the worker' },
  doctor: { may: seen, reason: 'it sees the worker and Temporal through interfaces that processes fills' },
  deploy: { may: seen, reason: 'it writes files about the worker, it does not run one' },
  webui: { may: [...seen, 'doctor'], reason: 'it sees the worker through interfaces that processes fills' },
  processes: {
    may: [...seen, 'agent', 'worker', 'server', 'tools', 'gateway', 'supervisor', 'doctor', 'deploy', 'webui'],
    reason: 'concrete parts meet here; words for the user are the business of cli',
  },
  cli: {
    may: [...base, 'config', 'controlplane', 'doctor', 'deploy', 'supervisor'],
    lazy: ['processes'],
    reason: 'words in, words out: no logic, and nothing heavy before it is needed',
  },
  'node-main': { may: ['processes'], reason: 'it is the whole program of Node: nothing of it comes later' },
  main: { may: ['version'], lazy: ['cli', 'processes'], reason: '--version answers before anything else is loaded' },
};

export interface Door {
  /**
   * What may be named only behind the door: a module (`node:child_process`, `@temporalio/` with all below it), a member
   * (`process.exit`), every member (`Bun.*`) or an event (`process.on(SIG*)`).
   */
  readonly names: readonly string[];
  /** Paths below src, or folders ending in `/`, where it may be named. */
  readonly allowed: readonly string[];
  readonly reason: string;
}

export const doors: readonly Door[] = [
  {
    names: ['process.exit', 'process.exitCode', 'process.argv', 'Bun.argv'],
    allowed: ['main.ts', 'node-main.ts'],
    reason: 'one place decides how the process begins and ends',
  },
  {
    names: ['process.env', 'Bun.env'],
    allowed: ['config/sources.ts', 'worker/addon-path.ts'],
    reason: 'every setting has an origin that can be shown; worker/addon-path.ts tells the SDK where its addon is',
  },
  {
    names: ['process.on(SIG*)', 'process.once(SIG*)', 'process.addListener(SIG*)'],
    allowed: ['processes/signals.ts'],
    reason: 'the stop ladder is one piece of code',
  },
  {
    names: ['process.stdout', 'process.stderr', 'console.*', 'Bun.stdout', 'Bun.stderr'],
    allowed: ['cli/output.ts', 'telemetry/', 'main.ts'],
    reason: 'colour, quiet pipes and redaction are decided once; main.ts answers --version before anything is loaded',
  },
  {
    names: ['@temporalio/workflow'],
    allowed: ['worker/workflows/'],
    reason: 'it works inside the workflow sandbox only',
  },
  {
    names: ['@temporalio/'],
    allowed: ['worker/', 'server/temporal.ts', 'server/temporal-inspect.ts', 'server/temporal-schedules.ts'],
    reason: 'Temporal is a detail of the worker and of three files of the server',
  },
  {
    names: ['bun:sqlite'],
    allowed: ['server/store/', 'supervisor/lock.ts'],
    reason: 'one writer to each database, and migrations in one place',
  },
  {
    names: ['node:child_process', 'child_process', 'Bun.spawn', 'Bun.spawnSync', 'Bun.$'],
    allowed: ['lib/spawn.ts'],
    reason:
      'a child has its own group, a marker, a record and an allow-listed environment, or it is lost after a crash',
  },
  {
    names: ['src:lib/spawn.ts'],
    allowed: [
      'lib/',
      'supervisor/',
      'processes/',
      'tools/',
      'deploy/',
      'doctor/',
      'server/',
      'gateway/',
      'cli/commands/login.ts',
    ],
    reason: 'who starts processes is known',
  },
  {
    names: ['Bun.*', 'bun', 'bun:'],
    allowed: ['main.ts', 'cli/', 'processes/', 'config/', 'server/', 'supervisor/', 'doctor/', 'deploy/', 'webui/'],
    reason: 'the rest runs under Node as well',
  },
  {
    names: ['#generated/native-addon'],
    allowed: ['worker/native.ts'],
    reason: 'an addon is loaded only after its digest was checked',
  },
  {
    names: ['#generated/node-worker'],
    allowed: ['processes/node-bundle.ts'],
    reason: 'Node runs it only after its digest was checked',
  },
  {
    names: ['#generated/dev-server'],
    allowed: ['server/dev-server-asset.ts'],
    reason: 'the server is run only after its digest was checked',
  },
];

/** Files that may do nothing but export what is elsewhere. */
export const lists: readonly string[] = ['src/doctor/checks/index.ts', 'src/worker/workflows/index.ts'];

/** What the top of the repository may hold. */
export const topLevel: readonly string[] = [
  '.ci',
  '.gitignore',
  '.knip.jsonc',
  '.oxfmtrc.json',
  '.oxlintrc.json',
  'LICENSE',
  'README.md',
  'bun.lock',
  'package.json',
  'scripts',
  'src',
  'test',
  'tsconfig.json',
];

/** A screen. */
export const functionLinesMax = 70;
/** Beyond it a file says in its opening comment why it is one file. */
export const fileLinesMax = 400;
