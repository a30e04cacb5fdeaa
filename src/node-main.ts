// Entry point of the bundle that Node runs (`--runtime node`): the Temporal side of one worker, driven by the binary that started it.
import { runNodeWorker } from './processes/node-worker.ts';

process.exit(await runNodeWorker());
