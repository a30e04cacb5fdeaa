// The OpenAPI document: valid 3.1, complete, and true to what the server answers.
import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createControlPlaneClient } from '../../src/controlplane/client.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import { absentTemporal, callerOf, startTestServer } from './support.ts';

/** All there are. */
const routes = [
  'GET /health',
  'GET /api/health',
  'GET /api/ready',
  'GET /api/v1/environments',
  'POST /api/v1/environments',
  'GET /api/v1/environments/{id}',
  'PATCH /api/v1/environments/{id}',
  'DELETE /api/v1/environments/{id}',
  'GET /api/v1/worker-queues',
  'GET /api/v1/environments/{environment}/worker-queues',
  'POST /api/v1/environments/{environment}/worker-queues',
  'GET /api/v1/worker-queues/{id}',
  'PATCH /api/v1/worker-queues/{id}',
  'DELETE /api/v1/worker-queues/{id}',
  'POST /api/v1/worker-queues/{id}/start',
  'GET /api/v1/worker-queues/{id}/workers',
  'GET /api/v1/worker-queues/{id}/executions',
  'GET /api/v1/worker-queues/{id}/config',
  'POST /api/v1/workers/{id}/heartbeat',
  'POST /api/v1/workers/{id}/disconnect',
  'GET /api/v1/agents',
  'POST /api/v1/agents',
  'GET /api/v1/agents/{id}',
  'PATCH /api/v1/agents/{id}',
  'DELETE /api/v1/agents/{id}',
  'POST /api/v1/agents/{id}/execute',
  'GET /api/v1/teams',
  'POST /api/v1/teams',
  'GET /api/v1/teams/{id}',
  'PATCH /api/v1/teams/{id}',
  'DELETE /api/v1/teams/{id}',
  'POST /api/v1/tasks/plan',
  'POST /api/v1/tasks/plan/stream',
  'GET /api/v1/tasks/plan/health',
  'GET /api/v1/tasks/plan/{id}',
  'GET /api/v1/models',
  'POST /api/v1/models',
  'GET /api/v1/models/{id}',
  'PATCH /api/v1/models/{id}',
  'DELETE /api/v1/models/{id}',
  'GET /api/v1/skills',
  'POST /api/v1/skills',
  'GET /api/v1/skills/{id}',
  'PATCH /api/v1/skills/{id}',
  'DELETE /api/v1/skills/{id}',
  'GET /api/v1/skills/associations/{type}/{id}/skills',
  'POST /api/v1/skills/associations/{type}/{id}/skills',
  'DELETE /api/v1/skills/associations/{type}/{id}/skills/{skill}',
  'GET /api/v1/skills/associations/{type}/{id}/skills/resolved',
  'GET /api/v1/execution-environment/{type}/{id}/resolved',
  'GET /api/v1/execution-environment/{type}/{id}/resolved/full',
  'GET /api/v1/executions',
  'GET /api/v1/executions/{id}',
  'PATCH /api/v1/executions/{id}',
  'POST /api/v1/executions/{id}/message',
  'POST /api/v1/executions/{id}/mark-done',
  'POST /api/v1/executions/{id}/pause',
  'POST /api/v1/executions/{id}/resume',
  'POST /api/v1/executions/{id}/cancel',
  'GET /api/v1/executions/{id}/inspect',
  'POST /api/v1/executions/{id}/terminate',
  'GET /api/v1/server',
  'GET /api/v1/server/snapshot',
  'POST /api/v1/executions/{id}/events',
  'GET /api/v1/executions/{id}/events',
  'POST /api/v1/executions/{id}/events/batch',
  'GET /api/v1/executions/{id}/stream',
  'GET /api/v1/executions/{id}/session',
  'POST /api/v1/executions/{id}/session',
  'GET /api/v1/jobs',
  'POST /api/v1/jobs',
  'GET /api/v1/jobs/{id}',
  'PATCH /api/v1/jobs/{id}',
  'DELETE /api/v1/jobs/{id}',
  'POST /api/v1/jobs/{id}/enable',
  'POST /api/v1/jobs/{id}/disable',
  'POST /api/v1/jobs/{id}/rotate-secret',
  'POST /api/v1/jobs/{id}/trigger',
  'GET /api/v1/jobs/{id}/executions',
  'POST /api/v1/webhooks/{id}',
  'POST /api/v1/executions/create',
  'POST /api/v1/executions/{id}/job/{job}/status',
  'POST /api/v1/teams/{id}/execute',
  'POST /api/v1/teams/{id}/agents/{agent}',
  'DELETE /api/v1/teams/{id}/agents/{agent}',
  'POST /api/v1/executions/batch/terminate',
  'POST /api/v1/approvals',
  'GET /api/v1/approvals',
  'GET /api/v1/approvals/{id}',
  'POST /api/v1/approvals/{id}/approve',
  'POST /api/v1/approvals/{id}/reject',
  'POST /api/v1/analytics/turns',
  'POST /api/v1/analytics/tool-calls',
  'POST /api/v1/analytics/tasks',
  'POST /api/v1/analytics/batch',
  'GET /api/v1/analytics/summary',
  'POST /api/v1/dynamic-executions/execute',
  'POST /api/v1/dynamic-executions/resolve-queue',
];

interface Document {
  openapi: string;
  paths: Record<
    string,
    Record<
      string,
      { responses: Record<string, unknown>; parameters?: { name: string; in: string }[]; requestBody?: unknown }
    >
  >;
}

let server: ControlPlane;
let document: Document;

beforeAll(async () => {
  server = await startTestServer(absentTemporal);
  document = (await callerOf(server.url)('GET', '/api/openapi.json')).body as unknown as Document;
});
afterAll(() => server.stop());

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: readonly string[];
}

/** Every method of our client is called once; what it asks for is written down and refused. */
async function routesOfOurClient(): Promise<Asked[]> {
  const asked: Asked[] = [];
  const url = 'http://control-plane.test';
  const client = createControlPlaneClient({
    url,
    token: 'token',
    fetch: (address, init) => {
      const { pathname, searchParams } = new URL(address);
      asked.push({ method: (init?.method ?? 'GET').toLowerCase(), path: pathname, query: [...searchParams.keys()] });
      return Promise.resolve(new Response('{}', { status: 404 }));
    },
  });
  for (const [name, method] of Object.entries(client)) {
    if (typeof method !== 'function') continue;
    const before = asked.length;
    // "agents" is an id like any other, and a kind where a kind comes first; streams take a signal behind what they ask for.
    const words = name.startsWith('open') ? ['agents'] : ['agents', 'two'];
    await (method as (...words: string[]) => Promise<unknown>)(...words).catch(() => undefined);
    expect(asked.length).toBe(before + 1);
  }
  return asked;
}

function patternOf(template: string): RegExp {
  return new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
}

describe('openapi.json', () => {
  test('is valid OpenAPI 3.1', async () => {
    expect(document.openapi).toBe('3.1.0');
    expect(
      await new Validator().validate(structuredClone(document) as unknown as Record<string, unknown>),
    ).toMatchObject({ valid: true });
  });

  test('a broken document is found invalid by the same validator', async () => {
    const broken = { ...structuredClone(document), paths: { '/x': { get: { responses: 'none' } } } };
    expect(await new Validator().validate(broken as unknown as Record<string, unknown>)).toMatchObject({
      valid: false,
    });
  });

  test.each(routes)('describes %s with its parameters, body and answers', (name) => {
    const [method = '', path = ''] = name.split(' ');
    const operation = document.paths[path]?.[method.toLowerCase()];
    expect(operation).toBeDefined();
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '');
    const described = (operation?.parameters ?? [])
      .filter((parameter) => parameter.in === 'path')
      .map((parameter) => parameter.name);
    expect(new Set(described)).toEqual(new Set(inPath));
    const statuses = Object.keys(operation?.responses ?? {});
    expect(statuses.some((status) => status.startsWith('2'))).toBe(true);
    expect(statuses).toContain('500');
    if (!path.endsWith('health') && !path.endsWith('ready')) expect(statuses).toContain('401');
    if (method === 'PATCH') expect(operation?.requestBody).toBeDefined();
  });

  test('describes every route that our client uses, and each parameter that it sends', async () => {
    const asked = await routesOfOurClient();
    expect(asked.length).toBeGreaterThan(30);
    const unknown = asked.filter(({ method, path, query }) => {
      const template = Object.keys(document.paths).find(
        (candidate) => patternOf(candidate).test(path) && document.paths[candidate]?.[method] !== undefined,
      );
      const described = template === undefined ? undefined : document.paths[template]?.[method]?.parameters;
      const names = new Set(described?.map(({ name }) => name));
      return template === undefined || query.some((name) => !names.has(name));
    });
    expect(unknown).toEqual([]);
  });

  test('describes nothing that the list above does not name', () => {
    const described = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const known = new Set(routes);
    expect(described.filter((name) => !known.has(name) && !name.startsWith('GET /api/openapi'))).toEqual([]);
  });
});
