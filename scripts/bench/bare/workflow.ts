// The least that a durable turn can be on Temporal: two activities that do nothing, one after the other.
import { proxyActivities } from '@temporalio/workflow';
import type * as activities from './activities.ts';

const { first, second } = proxyActivities<typeof activities>({ startToCloseTimeout: '60s', heartbeatTimeout: '3s' });

/** Returns when each turn's first activity ran, in milliseconds since the epoch. */
export async function bareLoop(turns: number): Promise<number[]> {
  const times: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    times.push(await first());
    await second();
  }
  return times;
}
