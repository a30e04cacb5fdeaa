// Kill -9 of the binary, of its Node process or of both at every kind of moment: the same promises as of the binary by itself.
import { nodeVictimsInTurn, useWayToRun } from '../support/worker-process.ts';

useWayToRun(nodeVictimsInTurn());
await import('../chaos/kill.test.ts');
