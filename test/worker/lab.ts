// A server and a worker of the built program in one home, and the commands that a second terminal runs beside them.
import { createHome, type Home } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { type CommandOptions, type CommandResult, runCommand } from '../support/run-binary.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';

export interface Lab {
  readonly home: Home;
  readonly server: LocalServer;
  readonly worker: WorkerProcess;
  /** A command in the same home, as a person in another terminal would run it. */
  run(words: readonly string[], options?: Partial<CommandOptions>): Promise<CommandResult>;
  /** After its death: the same lab with another worker in its place. */
  restartWorker(): Promise<Lab>;
  /** Ends both and checks that nothing is left. */
  stop(): Promise<void>;
}

export const queueName = 'my-queue';

/** `environment` is the worker's alone: keys and models are its business. */
export async function startLab(environment: Readonly<Record<string, string>> = {}): Promise<Lab> {
  const home = createHome();
  try {
    const server = await startLocalServer({ home });
    const startWorker = (): Promise<WorkerProcess> => startWorkerProcess({ home, queue: queueName, environment });
    const labWith = (worker: WorkerProcess): Lab => ({
      home,
      server,
      worker,
      run: (words, options) => runCommand(words, { home, ...options }),
      restartWorker: async () => labWith(await startWorker()),
      stop: async () => {
        try {
          await worker.process.end('SIGTERM');
          await server.stop();
          await home.waitUntilEmpty(5_000);
        } finally {
          home.remove();
        }
      },
    });
    return labWith(await startWorker());
  } catch (error) {
    home.remove();
    throw error;
  }
}

/** The lines of a JSON stream; throws on a line that is not JSON. */
export function streamLines(stdout: string): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** The one sentence that a failed command prints: `error:` once, `hint:` at most once, and nothing that a stack has. */
export function failureOf({ stderr }: CommandResult): { error: string; hint: string | undefined } {
  const lines = stderr.trimEnd().split('\n');
  const errors = lines.filter((line) => line.startsWith('error: '));
  const hints = lines.filter((line) => line.startsWith('hint: '));
  if (errors.length !== 1 || hints.length > 1 || /\bat .*\.[jt]s\b|\$bunfs|Error:/.test(stderr))
    throw new Error(`not one sentence and a hint:\n${stderr}`);
  return { error: errors[0]?.slice('error: '.length) ?? '', hint: hints[0]?.slice('hint: '.length) };
}
