// Started in Node as a bundle: replays the histories that its arguments name and writes what came of them to the first argument.
import { readFileSync, writeFileSync } from 'node:fs';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { workflowBundle } from '#generated/workflow-bundle';
import { createPayloadSignatureCodec } from '../../src/lib/payload-signature.ts';
import { fixtureSigningKey } from '../replay/fixtures.ts';

export interface Replay {
  readonly path: string;
  /** Of Node. */
  readonly version: string;
  /** Undefined when it replayed. */
  readonly failure?: string;
}

Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
// Not to stdout, where the SDK's native part logs that it refuses a history.
const [output = '', ...paths] = process.argv.slice(2);
const replays: Replay[] = [];
for (const path of paths) {
  const history = historyFromJSON(JSON.parse(readFileSync(path, 'utf8')));
  const dataConverter = { payloadCodecs: [createPayloadSignatureCodec(fixtureSigningKey)] };
  const failure = await Worker.runReplayHistory(
    { workflowBundle: { code: workflowBundle }, dataConverter },
    history,
  ).then(
    () => undefined,
    (error: unknown) => String(error),
  );
  replays.push({ path, version: process.version, ...(failure === undefined ? {} : { failure }) });
}
writeFileSync(output, JSON.stringify(replays));
process.exit(0);
