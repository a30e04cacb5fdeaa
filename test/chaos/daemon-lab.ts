// What the chaos of a daemon has at hand: a server that outlives it, a small disk below it, agents that leave traces, and a stranger.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processStartTime } from '../../src/lib/process-tree.ts';
import type { WorkerStatus } from '../../src/protocol/instance.ts';
import { ownIdentity } from '../../src/supervisor/instance.ts';
import { createHome, type Home, tryKill } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { type CommandOptions, type CommandResult, runCommand } from '../support/run-binary.ts';
import { readJournals } from '../support/worker-process.ts';
import { stepsPerExecution } from './kill-run.ts';
import { openSmallDisk, type SmallDisk } from './small-disk.ts';
import { type Scene, sceneOf, settledScene } from './status-poll.ts';
import { startStepAgent, type StepAgent } from './step-agent.ts';
import type { Kill } from './windows.ts';

export interface DaemonLabOptions {
  /** Interval and limit of the hang detection; undefined leaves what users have. */
  readonly liveness: { readonly intervalMs: number; readonly limitMs: number } | undefined;
  readonly controlPlaneDownMs: number;
}

const queue = 'chaos';
/** Room for the journals, outboxes and logs of an hour. */
const diskMegabytes = 48;
/** Of the hang detection that users have; the wait for one answer comes on top. */
const hangMs = 60_000;
const hangSlackMs = 15_000;

/** Has state and a lifetime: from `open` to `close`. */
export class DaemonLab {
  readonly queue = queue;
  readonly kills: Kill[] = [];
  queueId = '';
  /** Crashes that the present supervisor has seen in a row; each doubles the wait before the next start. */
  crashesInRow = 0;

  private constructor(
    readonly home: Home,
    readonly server: LocalServer,
    readonly agent: StepAgent,
    readonly disk: SmallDisk,
    readonly decoy: { readonly pid: number; readonly startTime: string },
    private readonly options: DaemonLabOptions,
  ) {}

  static async open(options: DaemonLabOptions): Promise<DaemonLab> {
    const home = createHome();
    const pauses = { before: 0.1, after: 0.1 };
    const agent = await startStepAgent(home.directory, { steps: stepsPerExecution, pauses });
    const server = await startLocalServer({ home });
    const disk = await openSmallDisk(join(home.kubiyaHome, 'workers', queue), diskMegabytes);
    // Without our home in its environment, so that nobody takes it for one of ours; the test runner's marker ends it after a kill.
    const { KUBIYA_INSTANCE: marker = '' } = process.env;
    const env = { KUBIYA_INSTANCE: marker };
    const stranger = spawn('sleep', ['86400'], { stdio: 'ignore', env, cwd: '/', detached: true });
    const pid = stranger.pid ?? 0;
    return new DaemonLab(home, server, agent, disk, { pid, startTime: processStartTime(pid) ?? '' }, options);
  }

  get directory(): string {
    return join(this.home.kubiyaHome, 'workers', queue);
  }

  get hangMsMax(): number {
    return (this.options.liveness?.limitMs ?? hangMs) + hangSlackMs;
  }

  get controlPlaneDownMs(): number {
    return this.options.controlPlaneDownMs;
  }

  get commandOptions(): CommandOptions {
    const { liveness } = this.options;
    return {
      home: this.home,
      prefix: this.disk.prefix,
      environment: {
        ...this.agent.environment,
        HEARTBEAT_INTERVAL: '15',
        ...(liveness === undefined
          ? {}
          : { KUBIYA_INTERNAL_LIVENESS_MS: `${liveness.intervalMs},${liveness.limitMs}` }),
      },
    };
  }

  run(words: readonly string[]): Promise<CommandResult> {
    return runCommand(words, this.commandOptions);
  }

  async start(): Promise<void> {
    const words = [
      'worker',
      'start',
      '--queue-id',
      queue,
      '-d',
      '--webui-port',
      '0',
      '--model',
      this.agent.modelName,
      '--max-log-size',
      '1000000',
    ];
    const { code, stdout, stderr } = await this.run(words);
    if (code !== 0) throw new Error(`the daemon could not be started, ${code}: ${stdout}${stderr}`);
    this.queueId = (await this.status()).queue_id ?? '';
  }

  async status(): Promise<WorkerStatus> {
    const { stdout, stderr } = await this.run(['worker', 'status', '--queue-id', queue, '--json']);
    if (stdout === '') throw new Error(`no status: ${stderr}`);
    return JSON.parse(stdout) as WorkerStatus;
  }

  scene(): Scene {
    return sceneOf(this.home, queue);
  }

  async workerPid(): Promise<number> {
    const { workers } = await settledScene(this.home, queue);
    const [only] = workers;
    if (only === undefined || workers.length > 1) throw new Error(`there are ${workers.length} workers`);
    return only.pid;
  }

  supervisorPid(): number {
    const { supervisors } = this.scene();
    const [only] = supervisors;
    if (only === undefined || supervisors.length > 1) throw new Error(`there are ${supervisors.length} supervisors`);
    return only;
  }

  /** What runs for the daemon: everything of the home but the server with its children, and the questions about the state. */
  daemonProcesses(): readonly string[] {
    return this.home
      .processes()
      .filter(
        (line) =>
          !line.includes(' worker status ') && !descendsFrom(Number.parseInt(line, 10), this.server.process.pid),
      );
  }

  /** A signal after which the worker does nothing more; what its journal says then is what it knew. */
  crash(pid: number, signal: 'SIGKILL' | 'SIGSTOP'): void {
    tryKill(pid, signal);
    const journals = readJournals(this.journalDirectory);
    const atMs = Date.now();
    this.kills.push({ atMs, readyAgainAtMs: atMs, journals, ledger: this.agent.ledger() });
    this.crashesInRow += 1;
  }

  supervisorIsNew(): void {
    this.crashesInRow = 0;
  }

  get journalDirectory(): string {
    return this.disk.view(join(this.directory, 'journal'));
  }

  /** A worker that vanished, says a record of another queue: with the pid of the stranger, in every file that names a process. */
  plantDecoy(): void {
    const directory = join(this.home.kubiyaHome, 'workers', 'decoy');
    mkdirSync(join(directory, 'logs'), { recursive: true, mode: 0o700 });
    const control = { port: 1, token: 'none' };
    const common = {
      instance_id: 'decoy-instance',
      ...ownIdentity(),
      pid: this.decoy.pid,
      start_time: '1@another-boot',
      version: '0.0.1',
      queue: 'decoy',
      queue_id: 'decoy-id',
      directory,
      log_file: join(directory, 'logs/worker.log'),
      started_at: '2026-01-01T00:00:00.000Z',
      stopped_at: null,
    };
    const record = {
      ...common,
      mode: 'daemon',
      worker_id: 'decoy-worker',
      control_plane_url: 'http://127.0.0.1:1',
      web_url: null,
      ports: {},
      control,
      stop_reason: null,
    };
    const supervisor = {
      ...common,
      control,
      state: 'running',
      state_since: common.started_at,
      reason: null,
      exit_code: null,
      restarts: 0,
      next_start_at: null,
      worker_pid: this.decoy.pid,
      worker_control: control,
    };
    writeFileSync(join(directory, 'daemon_info.json'), JSON.stringify(record));
    writeFileSync(join(directory, 'worker.pid'), JSON.stringify(record));
    writeFileSync(join(directory, 'supervisor.json'), JSON.stringify(supervisor));
    writeFileSync(join(directory, 'groups'), `start ${this.decoy.pid} 1@another-boot\n`);
  }

  async close(): Promise<void> {
    tryKill(this.decoy.pid, 'SIGKILL');
    tryKill(this.server.process.pid, 'SIGCONT');
    await this.server.stop().catch(() => undefined);
    await this.agent.model.stop();
    this.disk.close();
    this.home.remove();
  }
}

function descendsFrom(pid: number, ancestor: number): boolean {
  for (let current = pid; current > 1;) {
    if (current === ancestor) return true;
    try {
      const stat = readFileSync(`/proc/${current}/stat`, 'utf8');
      current = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    } catch {
      // Gone: nobody's.
      return false;
    }
  }
  return false;
}
