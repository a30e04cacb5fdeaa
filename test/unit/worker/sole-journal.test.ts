// The proof that a call can have reached no other journal: over real HTTP, against lists that say so and lists that do not.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createControlPlaneClient } from '../../../src/controlplane/client.ts';
import { createSoleJournalProof, journalIdentity } from '../../../src/worker/sole-journal.ts';

const now = Date.parse('2026-01-02T00:00:00Z');
const hourMs = 3_600_000;
let directory: string;
let server: Server;
let answer: { status: number; body: unknown };
const paths: string[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'kubiya-sole-journal-'));
  paths.length = 0;
  server = createServer((request, response) => {
    paths.push(request.url ?? '');
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
});
afterEach(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

async function isProven(workers: unknown, sinceMs = now - hourMs): Promise<boolean> {
  answer = workers === undefined ? { status: 503, body: { detail: 'away' } } : { status: 200, body: workers };
  const { port } = server.address() as AddressInfo;
  const client = createControlPlaneClient({ url: `http://127.0.0.1:${port}`, token: 'token' });
  return createSoleJournalProof({ client, queueId: 'q1', journalId: 'mine', now: () => now })(sinceMs);
}

const worker = (id: string, journal_id?: string) => ({ id, worker_id: id, status: 'active', journal_id });

test('every worker that the queue had names this journal', async () => {
  expect(await isProven([worker('w1', 'mine'), worker('w2', 'mine')])).toBe(true);
  expect(paths).toEqual(['/api/v1/worker-queues/q1/workers?include_gone=true']);
});

test.each([
  ['another journal', [worker('w1', 'mine'), worker('w2', 'theirs')]],
  ['a worker that names none', [worker('w1', 'mine'), worker('w2')]],
  ['a list without even us', []],
  ['a server in trouble', undefined],
])('no proof: %s', async (_name, workers) => {
  expect(await isProven(workers)).toBe(false);
});

test('no proof for what is older than the list of workers, and nobody is asked', async () => {
  expect(await isProven([worker('w1', 'mine')], now - 23.5 * hourMs)).toBe(false);
  expect(paths).toEqual([]);
});

test('the identity lasts as long as the directory', () => {
  const identity = journalIdentity(directory);
  expect(journalIdentity(directory)).toBe(identity);
  rmSync(join(directory, 'identity'));
  expect(journalIdentity(directory)).not.toBe(identity);
  writeFileSync(join(directory, 'identity'), '');
  expect(journalIdentity(directory)).toContain(readFileSync(join(directory, 'identity'), 'utf8').trim());
});
