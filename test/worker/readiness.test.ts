// Liveness and readiness while Temporal and the control plane are away: an outage is no reason to restart a worker.
import { expect, test } from 'bun:test';
import { parseMetrics, valueOf } from '../support/prometheus.ts';
import { until } from '../support/until.ts';
import { portsOf } from '../support/worker-ports.ts';
import { startLab } from './lab.ts';

/** The shortest that there is: a heartbeat is missed for long after 2.5 of them. */
const heartbeatSeconds = 15;
const heartbeatLateMs = 2.5 * heartbeatSeconds * 1000;

test('both are told apart, and the worker lives through them', async () => {
  const lab = await startLab({ HEARTBEAT_INTERVAL: String(heartbeatSeconds), KUBIYA_MODEL: 'kubiya/offline' });
  const { web } = await portsOf(lab.worker.process);
  const ready = async (): Promise<string> => (await fetch(`${web}/readyz`)).text();
  let deaths = 0;
  const watch = setInterval(
    () =>
      void fetch(`${web}/livez`).then(
        (answer) => (deaths += answer.ok ? 0 : 1),
        () => (deaths += 1),
      ),
    500,
  );
  const temporal = lab.server.temporalPid();
  const frozenMs = Date.now();
  try {
    process.kill(temporal, 'SIGSTOP');
    lab.server.process.signal('SIGSTOP');
    await until(async () => /^Temporal at .* cannot be used/.test(await ready()), { limitMs: 25_000 });
    expect(valueOf(parseMetrics(await (await fetch(`${web}/metrics`)).text()), 'kubiya_temporal_up')).toBe(0);
    process.kill(temporal, 'SIGCONT');
    // Temporal is back, and the last heartbeat is not yet too old.
    await until(async () => (await ready()) === 'ok\n', { limitMs: 15_000 });
    await until(async () => /^no heartbeat has arrived for \d+ s/.test(await ready()), { limitMs: 45_000 });
    expect(Date.now() - frozenMs).toBeGreaterThan(heartbeatLateMs - heartbeatSeconds * 1000);
    const families = parseMetrics(await (await fetch(`${web}/metrics`)).text());
    expect(valueOf(families, 'kubiya_control_plane_up')).toBe(0);
    expect(valueOf(families, 'kubiya_worker_ready')).toBe(0);
    expect(valueOf(families, 'kubiya_heartbeats_total', { outcome: 'failed' })).toBeGreaterThan(0);
    lab.server.process.signal('SIGCONT');
    await until(async () => (await ready()) === 'ok\n', { limitMs: 20_000 });
    expect(deaths).toBe(0);
    // The line of each minute: this one is not the last words.
    await lab.worker.process.waitFor(/"component":"metrics","msg":"Metrics: tasks_completed=0, /, 30_000);
    expect(lab.worker.process.hasExited).toBe(false);
  } finally {
    clearInterval(watch);
    process.kill(temporal, 'SIGCONT');
    lab.server.process.signal('SIGCONT');
    await lab.stop();
  }
}, 120_000);
