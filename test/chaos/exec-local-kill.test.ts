// A kill -9 of `exec --local` while a tool with grandchildren runs: two seconds later no process, directory or listener of it is there.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createHome, type Home, startBinary } from '../support/binary.ts';
import { until } from '../support/until.ts';

const goneWithinMs = 2_000;
let home: Home;
beforeEach(() => {
  home = createHome();
});
afterEach(() => home.remove());

/** A child, a grandchild, one in a session of its own, one whose parent is gone, and one without our environment. */
const family = `sleep 61 & sh -c 'sleep 62 & wait' & setsid sleep 63 & setsid sh -c 'sleep 64 & exit' & env -i sleep 65 & wait`;
const sleeps = [61, 62, 63, 64, 65];

test('nothing survives', async () => {
  const run = startBinary(['exec', '--local', '--yes', '--model', 'kubiya/offline', `run \`${family}\``], { home });
  // Only the programs themselves: the prompt is among the arguments of ours.
  const runs = (seconds: number): boolean =>
    home.processes().some((line) => new RegExp(`^\\d+ sleep ${seconds} $`).test(line));
  const hasAll = (): boolean => sleeps.every(runs);
  await until(hasAll, {
    what: () => `the whole family runs, but only ${home.processes().join(', ')}; ${run.output()}`,
  });
  const ports = listeningPorts(home.processes().map((line) => Number.parseInt(line, 10)));
  expect(ports.length).toBeGreaterThanOrEqual(2); // the control plane and Temporal
  const workers = join(home.kubiyaHome, 'workers');
  expect(readdirSync(workers)).toHaveLength(1);

  const { atMs } = await run.end('SIGKILL');
  await until(() => home.processes().length === 0, {
    limitMs: goneWithinMs,
    what: () => `nothing runs any more, but ${home.processes().join(', ')}`,
  });
  console.log(`gone after ${Date.now() - atMs} ms`);
  expect(readdirSync(workers)).toEqual([]);
  for (const port of ports) expect(await isListening(port)).toBe(false);
});

/** TCP ports on which these processes listen, from /proc. */
function listeningPorts(pids: readonly number[]): number[] {
  const inodes = new Set(
    pids.flatMap((pid) => {
      try {
        return readdirSync(`/proc/${pid}/fd`).map(
          (name) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))?.[1],
        );
      } catch {
        return []; // gone meanwhile
      }
    }),
  );
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  return rows.flatMap(([, local = '', , state, , , , , , inode]) =>
    state === '0A' && inodes.has(inode) ? [Number.parseInt(local.slice(local.indexOf(':') + 1), 16)] : [],
  );
}

async function isListening(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data: () => undefined } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}
