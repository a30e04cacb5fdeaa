// `bun test/worker/conversation-long.ts [turns] [output bytes]`: 500 turns with outputs of 40 kB, and the sizes they leave.
import { runConversation } from './conversation-run.ts';

const [turns, outputBytes] = [Number(process.argv[2] ?? 500), Number(process.argv[3] ?? 40_000)];
console.log(JSON.stringify(await runConversation(turns, outputBytes), undefined, 2));
