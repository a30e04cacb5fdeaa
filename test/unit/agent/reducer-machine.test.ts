// The reducer under any interleaving; `bun test/unit/agent/reducer-long.ts` plays 100,000 of them.
import { test } from 'bun:test';
import { checkReducer } from './reducer-machine.ts';

test('any interleaving of answers, results, signals and ends keeps the rules', () => checkReducer(2_000), 20_000);
