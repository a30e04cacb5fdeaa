// Diagrams: the files that each tool writes, and labels that try to be more than labels.
import { describe, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import * as v from 'valibot';
import { createToolset } from '../../../src/tools/toolset.ts';
import { createBench, skill, toolOf } from './support.ts';

const type = 'data_visualization';
const answerSchema = v.object({
  visualization: v.object({ type: v.string(), title: v.string(), source: v.string(), image: v.optional(v.string()) }),
});

async function draw(name: string, given: object, configuration: Record<string, unknown> = {}) {
  await using bench = createBench();
  const result = await toolOf(name, type, configuration).run(JSON.stringify(given), bench.context());
  if (result.status !== 'success') return { status: result.status, output: result.output, source: '', svg: '' };
  const { visualization } = v.parse(answerSchema, JSON.parse(result.output));
  const read = (path: string): string => readFileSync(bench.path(path), 'utf8');
  const svg = visualization.image === undefined ? '' : read(visualization.image);
  return { status: result.status, output: visualization.source, source: read(visualization.source), svg };
}

/** One good call of each tool; `LABEL` stands where people write text. */
const calls: Readonly<Record<string, object>> = {
  create_flowchart: {
    title: 'LABEL',
    nodes: [
      { id: 'LABEL', shape: 'decision', connections: [{ to: 'b', label: 'LABEL' }, { to: 'LABEL' }] },
      { id: 'b', label: 'LABEL', connections: [{ to: 'LABEL' }] },
      { id: 'c', shape: 'round' },
    ],
    direction: 'LR',
  },
  create_sequence_diagram: {
    title: 'LABEL',
    participants: ['LABEL', 'b'],
    interactions: [
      { from: 'LABEL', to: 'b', message: 'LABEL' },
      { from: 'b', to: 'b', message: 'LABEL', type: 'async' },
      { from: 'b', to: 'LABEL', message: 'LABEL', type: 'reply' },
    ],
  },
  create_class_diagram: {
    title: 'LABEL',
    classes: [
      {
        name: 'LABEL',
        attributes: ['LABEL'],
        methods: ['LABEL', 'run(a, b)'],
        relations: [{ to: 'B', label: 'LABEL' }],
      },
      { name: 'B' },
    ],
  },
  create_er_diagram: {
    title: 'LABEL',
    entities: [
      {
        name: 'LABEL',
        attributes: [{ name: 'LABEL', type: 'LABEL', key: 'PK' }],
        relationships: [{ to: 'B', label: 'LABEL', cardinality: 'many_to_many' }],
      },
      { name: 'B' },
    ],
  },
  create_gantt_chart: {
    title: 'LABEL',
    tasks: [
      { name: 'LABEL', start: '2024-02-29', days: 3, section: 'LABEL', status: 'done' },
      { name: 'b', start: '2024-03-05', days: 1 },
    ],
  },
  create_pie_chart: { title: 'LABEL', data: { LABEL: 3, b: 1, c: 0 } },
  create_state_diagram: {
    title: 'LABEL',
    states: [
      { name: 'LABEL', description: 'LABEL', transitions: [{ to: 'b', label: 'LABEL' }] },
      { name: 'b', final: true },
    ],
  },
  create_git_graph: {
    title: 'LABEL',
    commits: [
      { message: 'LABEL' },
      { message: 'LABEL', branch: 'LABEL' },
      { message: 'c' },
      { message: 'd', merges: 'LABEL' },
    ],
  },
  create_user_journey: {
    title: 'LABEL',
    journey: [
      {
        section: 'LABEL',
        tasks: [
          { name: 'LABEL', score: 5, actors: ['LABEL', 'b'] },
          { name: 'b', score: 1 },
        ],
      },
    ],
  },
  create_quadrant_chart: {
    title: 'LABEL',
    x_axis: { low: 'LABEL', high: 'high' },
    y_axis: { low: 'low', high: 'LABEL' },
    items: [{ name: 'LABEL', x: 0.2, y: 1 }],
  },
};

function withLabel(name: string, label: string): object {
  return JSON.parse(JSON.stringify(calls[name]).replaceAll('LABEL', JSON.stringify(label).slice(1, -1))) as object;
}

describe.each(Object.keys(calls))('%s', (name) => {
  test(`[${name}] writes Mermaid source and a drawing with every label`, async () => {
    const { status, source, svg } = await draw(name, withLabel(name, 'Größe'));
    expect(status).toBe('success');
    expect(source).toStartWith('---\ntitle: "Größe"\n---\n');
    expect(svg).toStartWith('<svg xmlns="http://www.w3.org/2000/svg"');
    expect(svg.match(/Größe/g)?.length).toBeGreaterThan(2);
    expect(svg).not.toContain('NaN');
    expect(svg).not.toContain('undefined');
  });

  test.each([
    '<script>alert(1)</script>',
    '"]; click a href "x',
    'a --> b;',
    '%%{init: {}}%%',
    "' onload='x",
    '&amp;',
    '#quot;',
    'end',
    '`${x}`',
  ])('a label %p is text', async (label) => {
    const { status, source, svg } = await draw(name, withLabel(name, label));
    expect({ label, status }).toEqual({ label, status: 'success' });
    expect(svg).not.toMatch(/<script|onload='|<[^>]*click/);
    expect(isWellFormed(svg)).toBe(true);
    // The head holds the title as JSON.
    const body = source.split('\n---\n')[1] ?? '';
    expect(body).not.toContain('<script');
    expect(body).not.toContain('%%{');
    expect(body).not.toMatch(/^\s*click /m);
    // The members of a class are free text.
    const ends = body.split('\n').filter((line) => line.trim() === 'end');
    if (name !== 'create_class_diagram') expect(ends).toEqual([]);
  });

  test('a label with a line break, of nothing, or too long is refused', async () => {
    for (const label of ['a\nb', 'a\u0000b', '  ', 'x'.repeat(121)]) {
      expect({ label, status: (await draw(name, withLabel(name, label))).status }).toEqual({ label, status: 'failed' });
    }
    expect((await draw(name, { ...withLabel(name, 'a1'), extra: 1 })).status).toBe('failed');
    expect((await draw(name, { title: 'x' })).status).toBe('failed');
  });
});

/** Every element closed in order, every attribute quoted: what a browser's XML parser demands of our few elements. */
function isWellFormed(svg: string): boolean {
  const open: string[] = [];
  const rest = svg.replaceAll(
    /<(\/?)([a-z]+)((?: [A-Za-z0-9-]+(?::[a-z]+)?="[^"<]*")*)(\/?)>/gi,
    (_all, close: string, name: string, _attributes, empty: string) => {
      if (close === '/') return open.pop() === name ? '' : '<';
      if (empty === '') open.push(name);
      return '';
    },
  );
  return open.length === 0 && !/[<>]/.test(rest) && !/&(?!(amp|lt|gt|quot|#39);)/.test(svg);
}

describe('what does not fit together', () => {
  test.each([
    ['create_flowchart', { title: 't', nodes: [{ id: 'a', connections: [{ to: 'b' }] }] }, 'b is used'],
    ['create_flowchart', { title: 't', nodes: [{ id: 'a' }, { id: 'a' }] }, 'a is there twice'],
    ['create_flowchart', { title: 't', nodes: [] }, 'nodes'],
    ['create_flowchart', { title: 't', nodes: [{ id: 'a' }], direction: 'UP' }, 'direction'],
    [
      'create_sequence_diagram',
      { title: 't', participants: ['a'], interactions: [{ from: 'a', to: 'x', message: 'm' }] },
      'x is used',
    ],
    ['create_class_diagram', { title: 't', classes: [{ name: 'a', relations: [{ to: 'x' }] }] }, 'x is used'],
    ['create_er_diagram', { title: 't', entities: [{ name: 'a', relationships: [{ to: 'x' }] }] }, 'x is used'],
    ['create_gantt_chart', { title: 't', tasks: [{ name: 'a', start: '2024-02-30', days: 1 }] }, 'start'],
    ['create_gantt_chart', { title: 't', tasks: [{ name: 'a', start: 'soon', days: 1 }] }, 'start'],
    ['create_gantt_chart', { title: 't', tasks: [{ name: 'a', start: '2024-01-01', days: 0 }] }, 'days'],
    ['create_pie_chart', { title: 't', data: {} }, 'above zero'],
    ['create_pie_chart', { title: 't', data: { a: -1, b: 2 } }, 'data'],
    ['create_state_diagram', { title: 't', states: [{ name: 'a' }], initial: 'b' }, 'b is used'],
    ['create_git_graph', { title: 't', commits: [{ message: 'a', merges: 'b' }] }, 'cannot merge b'],
    [
      'create_git_graph',
      { title: 't', commits: [{ message: 'a' }, { message: 'b', merges: 'main' }] },
      'cannot merge main',
    ],
    ['create_user_journey', { title: 't', journey: [{ section: 's', tasks: [{ name: 'a', score: 6 }] }] }, 'score'],
    [
      'create_quadrant_chart',
      {
        title: 't',
        x_axis: { low: 'a', high: 'b' },
        y_axis: { low: 'a', high: 'b' },
        items: [{ name: 'a', x: 2, y: 0 }],
      },
      'items',
    ],
  ])('%s with %p', async (name, given, words) => {
    const result = await draw(name, given);
    expect(result.status).toBe('failed');
    expect(result.output).toContain(words);
  });
});

describe('create_diagram', () => {
  test('[create_diagram] saves the source', async () => {
    const result = await draw('create_diagram', { diagram_code: 'mindmap\n  root\n    leaf', title: 'My map!' });
    expect(result).toMatchObject({ status: 'success', output: 'diagrams/my-map.mmd', svg: '' });
    expect(result.source).toEndWith('mindmap\n  root\n    leaf\n');
  });

  test.each([
    'hello',
    '',
    '%%{init: {"securityLevel":"loose"}}%%\nflowchart TD\n a-->b',
    'flowchart TD\n a-->b\n click a "javascript:alert(1)"',
    'flowchart TD\n a-->b\n  CLICK a call x()',
    'flowchart TD\n a-->b;click a "https://evil.example"',
    'sequenceDiagram\n participant a\n links a: {"x": "https://evil.example"}',
    'flowchart TD\n a["<img src=x onerror=alert(1)>"]',
    'flowchart TD\n a["<br><script>alert(1)</script>"]',
    '---\nconfig:\n  securityLevel: loose\n---\nflowchart TD',
  ])('%p is refused', async (code) => {
    expect((await draw('create_diagram', { diagram_code: code })).status).toBe('failed');
  });
});

describe('where the files go', () => {
  const pie = { title: '../../etc/passwd', data: { a: 1 } };

  test('a title is no path', async () => {
    expect((await draw('create_pie_chart', pie)).output).toBe('diagrams/etc-passwd.mmd');
    expect((await draw('create_pie_chart', { ...pie, title: '☃' })).output).toBe('diagrams/pie.mmd');
  });

  test('[data_visualization.output_directory] is inside the workspace', async () => {
    expect((await draw('create_pie_chart', pie, { output_directory: 'out/charts' })).output).toBe(
      'out/charts/etc-passwd.mmd',
    );
    for (const directory of ['..', '/tmp', 'a/../../b']) {
      const result = await draw('create_pie_chart', pie, { output_directory: directory });
      expect(result.status).toBe('failed');
      expect(result.output).toContain('outside the allowed directories');
    }
  });

  test('not through a link', async () => {
    await using bench = createBench();
    mkdirSync(bench.path('..', 'outside'));
    symlinkSync(bench.path('..', 'outside'), bench.path('diagrams'));
    const result = await toolOf('create_pie_chart', type).run(JSON.stringify(pie), bench.context());
    expect(result.status).toBe('failed');
    expect(readdirSync(bench.path('..', 'outside'))).toEqual([]);
  });

  test('[data_visualization.allowed_diagrams] decides which tools there are', () => {
    const names = (configuration: Record<string, unknown>) =>
      Array.from(createToolset([skill(type, configuration)]).tools.keys());
    expect(names({})).toHaveLength(12);
    expect(names({ allowed_diagrams: ['create_pie_chart'] })).toEqual(['create_pie_chart', 'wait_for_approval']);
    expect(names({ allowed_diagrams: ['create_video'] })).toEqual([]);
  });
});

test('many boxes with many arrows, cycles included, are drawn at once', async () => {
  const nodes = Array.from({ length: 200 }, (_, at) => ({
    id: `n${at}`,
    connections: [1, 7, 50].map((step) => ({ to: `n${(at + step) % 200}` })),
  }));
  const startedAt = performance.now();
  expect((await draw('create_flowchart', { title: 'Many', nodes })).svg.match(/<rect/g)).toHaveLength(201);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});
