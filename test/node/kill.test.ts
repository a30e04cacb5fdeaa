// Kill -9 of the binary, of its Node process or of both at every kind of moment: the same promises as of the binary by itself.
import { useWayToRun } from '../support/worker-process.ts';

const victims = ['node', 'binary', 'both'] as const;
let next = 0;

useWayToRun({ runtime: 'node', victim: () => victims[next++ % victims.length] ?? 'node' });
await import('../chaos/kill.test.ts');
