// The stop ladder of a worker whose Temporal side runs in Node: the same tests as those of the binary by itself.
import { useWayToRun } from '../support/worker-process.ts';

useWayToRun({ runtime: 'node', victim: () => 'binary' });
await import('../chaos/stop.test.ts');
