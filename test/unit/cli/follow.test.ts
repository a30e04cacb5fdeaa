// What ends the wait for an execution besides its own end: the death of its only worker.
import { expect, test } from 'bun:test';
import { PassThrough } from 'node:stream';
import { followToEnd } from '../../../src/cli/exec/follow.ts';
import { createOutput } from '../../../src/cli/output.ts';
import { createTextRenderer } from '../../../src/cli/render/text.ts';
import { createControlPlaneClient } from '../../../src/controlplane/client.ts';
import { chunk, executionId, startScriptedControlPlane } from '../../support/scripted-control-plane.ts';

test('a worker that dies ends it with one sentence, exit code 1 and no cancel that nobody would hear', async () => {
  const plane = await startScriptedControlPlane({ steps: [chunk('half an answer'), { type: 'wait', for: 'release' }] });
  const stdout = new PassThrough();
  const output = createOutput(stdout, new PassThrough(), { environment: {}, isStdinTty: false });
  const worker = Promise.withResolvers<string>();
  stdout.once('data', () => worker.resolve('the native engine stopped'));
  try {
    const following = followToEnd({
      client: createControlPlaneClient({ url: plane.url, token: plane.token }),
      executionId,
      renderer: createTextRenderer(output, {
        outputLinesMax: 10,
        isVerbose: false,
        showsPrompt: false,
        isAnswerJson: false,
      }),
      interrupts: {
        signal: new AbortController().signal,
        addHandler: () => () => undefined,
        dispose: () => undefined,
      },
      isOwner: true,
      timeoutMs: undefined,
      workerFailed: worker.promise,
    });
    await expect(following).rejects.toMatchObject({
      message: 'the worker of this execution has died: the native engine stopped',
      code: 'worker_died',
      exitCode: 1,
    });
    expect(plane.requestsTo('POST', /cancel$/)).toEqual([]);
  } finally {
    await plane.stop();
  }
});
