// A server as a process group of ours: spoken to over its pipes, and gone with everything it started.
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/client';
import { sleep } from '../../lib/backoff.ts';
import { createId } from '../../lib/ids.ts';
import { sweepByMarker } from '../../lib/process-tree.ts';
import type { ChildHandle, Spawner } from '../../lib/spawn.ts';
import { cutTail } from '../../lib/text.ts';
import { createMessageReader, messageBytesMax } from './message-reader.ts';

export interface StdioServer {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** A server that heeds the end of its input needs milliseconds; many ignore it. */
const endOfInputMs = 300;
/** Between SIGTERM and SIGKILL, to put its own children away. */
const stopGraceMs = 1_000;
/** What a server said last is what a person needs when it dies. */
const stderrBytesMax = 8 * 1024;
const garbageCharactersMax = 300;
/** JSON-RPC leaves -32000 to -32099 to implementations. */
const tooLargeCode = -32_000;
/** Finds the server's descendants in sessions of their own. */
const markerName = 'KUBIYA_MCP_SERVER';

/** Lives from `start` to `onclose`; never started twice. */
export class StdioTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  /** The last line on its standard output that was no message. */
  garbage = '';
  /** The end of what it wrote to its standard error. */
  stderr = '';
  /** How it ended, once it has. */
  exit: string | undefined;
  private child: ChildHandle | undefined;
  private gone: Promise<void> = Promise.resolve();
  private isOver = false;
  private readonly marker = createId();

  constructor(
    private readonly server: StdioServer,
    private readonly spawner: Spawner,
  ) {}

  /** Rejects with a `StartError`. */
  async start(): Promise<void> {
    const { command, cwd, environment } = this.server;
    const child = await this.spawner.start({
      command,
      cwd,
      environment: { ...environment, [markerName]: this.marker },
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    this.child = child;
    const reader = createMessageReader({
      onMessage: (message) => this.onmessage?.(message as JSONRPCMessage),
      onGarbage: (line) => (this.garbage = line.slice(0, garbageCharactersMax).toWellFormed()),
      onOversize: (id, bytes) => this.refuse(id, bytes),
    });
    child.stdout?.on('data', (chunk: Uint8Array) => reader.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr = cutTail(this.stderr + chunk.toString('utf8').replaceAll('\0', ''), stderrBytesMax);
    });
    this.gone = child.exited.then(({ code, signal }) => {
      this.exit = signal === null ? `exit code ${code ?? 'unknown'}` : signal;
      this.sweep();
      this.finish();
    });
  }

  send(message: JSONRPCMessage): Promise<void> {
    const { child } = this;
    return new Promise((resolve, reject) => {
      if (this.isOver || child === undefined || child.stdin === null) return reject(new Error('the server is gone'));
      child.stdin.write(`${JSON.stringify(message)}\n`, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** End of input, SIGTERM to the group, SIGKILL, and then whoever left the group. May be called again. */
  async close(): Promise<void> {
    const { child } = this;
    if (child === undefined) return;
    child.stdin?.end();
    await Promise.race([this.gone, sleep(endOfInputMs)]);
    if (this.exit === undefined) await child.stop({ graceMs: stopGraceMs });
    await this.gone;
  }

  /** The request is answered in the server's place, so that only its call fails and the server keeps what it knows. */
  private refuse(id: number | undefined, bytes: number): void {
    const message = `its answer has ${bytes} bytes, more than the ${messageBytesMax} that are read`;
    if (id !== undefined) return this.onmessage?.({ jsonrpc: '2.0', id, error: { code: tooLargeCode, message } });
    this.stderr = cutTail(`${this.stderr}\n[ended because a message of it has ${bytes} bytes]`, stderrBytesMax);
    void this.close();
  }

  /** Its own children are in the group and already gone; a daemon of its is not. */
  private sweep(): void {
    sweepByMarker(this.spawner.instanceId, [`${markerName}=${this.marker}`]);
    this.child?.stdout?.destroy();
    this.child?.stderr?.destroy();
  }

  private finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onclose?.();
  }
}
