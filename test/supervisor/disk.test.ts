// A daemon whose disk fills up: crashes of worker and supervisor meanwhile are mended as soon as there is space again.
import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { builtBinary, createHome } from '../support/binary.ts';
import { startLocalServer } from '../support/local-server.ts';

/** Words of a shell, in a mount namespace where the place of the worker is a small file system. */
const script = `
pid() { sed -n "s/^  \\"$1\\": \\([0-9]*\\),$/\\1/p" "$place/supervisor.json"; }
healthy() { i=0; until "$kubiya" worker status --queue-id full > /dev/null; do i=$((i + 1)); [ $i -lt 150 ] || return 1; sleep 0.2; done; }
fill() { head -c 10M /dev/zero > "$place/fill" 2> /dev/null || true; }
fail() { echo "$1"; "$kubiya" worker status --queue-id full; cat "$place"/logs/*; "$kubiya" worker stop --force; exit 1; }
mount -t tmpfs -o size=600k,mode=700 tmpfs "$place" || exit 2
"$kubiya" worker start --queue-id full --webui-port 0 -d || exit 3

worker=$(pid worker_pid); fill
kill -9 "$worker"; sleep 4
"$kubiya" worker status --queue-id full > /dev/null && fail 'healthy on a full disk'
rm "$place/fill"
healthy || fail 'the worker did not come back'
[ "$(pid worker_pid)" != "$worker" ] || fail 'the same worker'

supervisor=$(pid pid); worker=$(pid worker_pid); fill
kill -9 "$supervisor"; sleep 5
pgrep -f '[_]_supervisor --tag=.*:full' > /dev/null || fail 'no supervisor on a full disk'
rm "$place/fill"
i=0; until [ "$(pid pid)" != "$supervisor" ]; do i=$((i + 1)); [ $i -lt 100 ] || fail 'no record of the new supervisor'; sleep 0.1; done
healthy || fail 'not healthy after all'
[ "$(pid worker_pid)" = "$worker" ] || fail 'another worker'
"$kubiya" worker stop --queue-id full || fail 'not stopped'
pgrep -f '[w]orker.py:full' > /dev/null && fail 'something is left'
exit 0
`;

test('a full disk costs no supervision', async () => {
  const home = createHome();
  try {
    const server = await startLocalServer({ home });
    const place = join(home.kubiyaHome, 'workers/full');
    mkdirSync(place, { recursive: true, mode: 0o700 });
    const result = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', script], {
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: home.directory,
        KUBIYA_HOME: home.kubiyaHome,
        place,
        kubiya: builtBinary(),
      },
      timeout: 90_000,
    });
    expect({ status: result.status, output: result.status === 0 ? '' : `${result.stdout}${result.stderr}` }).toEqual({
      status: 0,
      output: '',
    });
    await server.stop();
    await home.waitUntilEmpty(5_000);
  } finally {
    home.remove();
  }
}, 120_000);
