// The diagrams that are boxes and arrows: flowcharts, classes, entities, states.
import * as v from 'valibot';
import { defineDiagram, done, label, lines, linesMax, links, list, undeclared } from './diagram-kind.ts';
import { type GraphEdge, type GraphNode, drawGraph } from './graph-svg.ts';
import { createNames, plain, quoted } from './mermaid.ts';

interface Link {
  readonly to: string;
  readonly label?: string | undefined;
}

function edgesOf(from: string, to: readonly Link[]): GraphEdge[] {
  return to.map((link) => ({ from, to: link.to, label: link.label }));
}

export const flowchartDiagram = defineDiagram(
  'Draws a flowchart: nodes with the connections that start at each.',
  v.strictObject({
    title: label,
    nodes: list(
      v.strictObject({
        id: label,
        label: v.optional(label),
        shape: v.optional(v.picklist(['box', 'round', 'decision']), 'box'),
        connections: links,
      }),
    ),
    direction: v.optional(v.picklist(['TB', 'TD', 'BT', 'LR', 'RL']), 'TD'),
  }),
  (given) => {
    const used = given.nodes.flatMap(({ connections }) => connections.map(({ to }) => to));
    const problem = undeclared(
      given.nodes.map(({ id }) => id),
      used,
    );
    if (problem !== undefined) return problem;
    const name = createNames();
    const shapes = { box: ['[', ']'], round: ['(', ')'], decision: ['{', '}'] } as const;
    const body = given.nodes.flatMap(({ id, label: words = id, shape, connections }) => [
      `  ${name(id)}${shapes[shape][0]}${quoted(words)}${shapes[shape][1]}`,
      ...connections.map((link) => {
        const said = link.label === undefined ? '' : `|${quoted(link.label)}|`;
        return `  ${name(id)} -->${said} ${name(link.to)}`;
      }),
    ]);
    const nodes = given.nodes.map(({ id, label: words = id, shape }): GraphNode => ({
      id,
      lines: [words],
      isRound: shape !== 'box',
    }));
    const edges = given.nodes.flatMap(({ id, connections }) => edgesOf(id, connections));
    const isHorizontal = given.direction === 'LR' || given.direction === 'RL';
    const svg = drawGraph({ title: given.title, nodes, edges, isHorizontal });
    return done('flowchart', given.title, [`flowchart ${given.direction}`, ...body], svg);
  },
);

export const classesDiagram = defineDiagram(
  'Draws a class diagram: classes with attributes, methods and relations to others.',
  v.strictObject({
    title: label,
    classes: list(v.strictObject({ name: label, attributes: lines, methods: lines, relations: links })),
  }),
  (given) => {
    const names = given.classes.map((item) => item.name);
    const problem = undeclared(
      names,
      given.classes.flatMap(({ relations }) => relations.map(({ to }) => to)),
    );
    if (problem !== undefined) return problem;
    const name = createNames();
    const member = (text: string): string => plain(text).replaceAll('#58;', ' ').replaceAll('#44;', ',');
    const method = (text: string): string =>
      /^[~#+-]?[A-Za-z_]\w*\(.*\)/.test(text) ? member(text) : `${member(text).replaceAll(/[()]/g, '')}()`;
    const body = given.classes.flatMap((item) => [
      `  class ${name(item.name)}[${quoted(item.name)}] {`,
      ...item.attributes.map((attribute) => `    ${member(attribute).replaceAll(/[()]/g, '')}`),
      ...item.methods.map((text) => `    ${method(text)}`),
      '  }',
      ...item.relations.map(
        (link) =>
          `  ${name(item.name)} --> ${name(link.to)}${link.label === undefined ? '' : ` : ${plain(link.label)}`}`,
      ),
    ]);
    const nodes = given.classes.map((item): GraphNode => ({
      id: item.name,
      lines: [item.name, ...item.attributes, ...item.methods],
    }));
    const edges = given.classes.flatMap((item) => edgesOf(item.name, item.relations));
    const svg = drawGraph({ title: given.title, nodes, edges, isHorizontal: false });
    return done('class', given.title, ['classDiagram', ...body], svg);
  },
);

const cardinalities = {
  one_to_one: '||--||',
  one_to_many: '||--o{',
  many_to_one: '}o--||',
  many_to_many: '}o--o{',
} as const;

export const entitiesDiagram = defineDiagram(
  'Draws an entity-relationship diagram: entities with attributes and relationships.',
  v.strictObject({
    title: label,
    entities: list(
      v.strictObject({
        name: label,
        attributes: v.optional(
          v.pipe(
            v.array(
              v.strictObject({
                name: label,
                type: v.optional(label, 'text'),
                key: v.optional(v.picklist(['PK', 'FK', 'UK'])),
              }),
            ),
            v.maxLength(linesMax),
          ),
          [],
        ),
        relationships: v.optional(
          v.array(
            v.strictObject({
              to: label,
              label: v.optional(label, 'has'),
              cardinality: v.optional(
                v.picklist(['one_to_one', 'one_to_many', 'many_to_one', 'many_to_many']),
                'one_to_many',
              ),
            }),
          ),
          [],
        ),
      }),
    ),
  }),
  (given) => {
    const names = given.entities.map((item) => item.name);
    const problem = undeclared(
      names,
      given.entities.flatMap((item) => item.relationships.map(({ to }) => to)),
    );
    if (problem !== undefined) return problem;
    const name = createNames();
    const word = createNames();
    const body = given.entities.flatMap((item) => [
      `  ${name(item.name)}[${quoted(item.name)}] {`,
      ...item.attributes.map(
        ({ name: own, type, key }) => `    ${word(type)} ${word(own)}${key === undefined ? '' : ` ${key}`}`,
      ),
      '  }',
      ...item.relationships.map(
        (link) => `  ${name(item.name)} ${cardinalities[link.cardinality]} ${name(link.to)} : ${quoted(link.label)}`,
      ),
    ]);
    const nodes = given.entities.map((item): GraphNode => ({
      id: item.name,
      lines: [
        item.name,
        ...item.attributes.map(({ name: own, type, key }) => `${own}: ${type}${key === undefined ? '' : ` (${key})`}`),
      ],
    }));
    const edges = given.entities.flatMap((item) => edgesOf(item.name, item.relationships));
    const svg = drawGraph({ title: given.title, nodes, edges, isHorizontal: true });
    return done('er', given.title, ['erDiagram', ...body], svg);
  },
);

export const statesDiagram = defineDiagram(
  'Draws a state diagram: states with their transitions; the first state is where it starts unless `initial` says otherwise.',
  v.strictObject({
    title: label,
    states: list(
      v.strictObject({
        name: label,
        description: v.optional(label),
        transitions: links,
        final: v.optional(v.boolean(), false),
      }),
    ),
    initial: v.optional(label),
  }),
  (given) => {
    const names = given.states.map((state) => state.name);
    const used = given.states.flatMap(({ transitions }) => transitions.map(({ to }) => to));
    const initial = given.initial ?? names[0] ?? '';
    const problem = undeclared(names, [...used, initial]);
    if (problem !== undefined) return problem;
    const name = createNames();
    const said = (link: Link): string => (link.label === undefined ? '' : ` : ${plain(link.label)}`);
    const body = [
      ...given.states.map((state) => `  state ${quoted(state.description ?? state.name)} as ${name(state.name)}`),
      `  [*] --> ${name(initial)}`,
      ...given.states.flatMap((state) => [
        ...state.transitions.map((link) => `  ${name(state.name)} --> ${name(link.to)}${said(link)}`),
        ...(state.final ? [`  ${name(state.name)} --> [*]`] : []),
      ]),
    ];
    const nodes = given.states.map((state): GraphNode => ({
      id: state.name,
      lines: [state.description ?? state.name],
      isRound: true,
    }));
    const edges = given.states.flatMap((state) => edgesOf(state.name, state.transitions));
    return done(
      'state',
      given.title,
      ['stateDiagram-v2', ...body],
      drawGraph({ title: given.title, nodes, edges, isHorizontal: false }),
    );
  },
);
