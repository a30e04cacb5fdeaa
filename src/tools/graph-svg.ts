// Draws boxes and arrows: ranks by the distance from the roots, order in a rank by the neighbours above, straight arrows.
import { type Point, lineHeight, svgBox, svgDocument, svgLine, svgText, widthOf } from './svg.ts';

export interface GraphNode {
  readonly id: string;
  /** The first line is the heading of a box with several. */
  readonly lines: readonly string[];
  readonly isRound?: boolean;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly label?: string | undefined;
  readonly isDashed?: boolean;
}

export interface Graph {
  readonly title: string;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  readonly isHorizontal: boolean;
}

interface Placed extends Point {
  readonly width: number;
  readonly height: number;
  readonly node: GraphNode;
}

const gap = { rank: 70, box: 36, margin: 20, padding: 12 } as const;

export function drawGraph(graph: Graph): string {
  const ranks = rowsOf(graph);
  const placed = place(ranks, graph);
  const boxes = [...placed.values()];
  const width = Math.max(...boxes.map((box) => box.x + box.width), 0) + gap.margin;
  const height = Math.max(...boxes.map((box) => box.y + box.height), 0) + gap.margin;
  const arrows = graph.edges.flatMap((edge) => drawEdge(edge, placed));
  return svgDocument(graph.title, { width, height }, [...arrows, ...boxes.flatMap(drawBox)]);
}

/** Nodes by rank. A cycle is cut where it comes back: a node's rank is set once. */
function rowsOf({ nodes, edges }: Graph): string[][] {
  const rankOf = new Map<string, number>();
  const targets = new Set(edges.filter(({ from, to }) => from !== to).map(({ to }) => to));
  const roots = nodes.filter(({ id }) => !targets.has(id));
  const open = [...roots, ...nodes].map(({ id }) => id);
  for (const root of open) {
    if (rankOf.has(root)) continue;
    rankOf.set(root, 0);
    const queue = [root];
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      for (const edge of edges) {
        if (edge.from !== id || rankOf.has(edge.to)) continue;
        rankOf.set(edge.to, (rankOf.get(id) ?? 0) + 1);
        queue.push(edge.to);
      }
    }
  }
  const rows: string[][] = [];
  for (const { id } of nodes) (rows[rankOf.get(id) ?? 0] ??= []).push(id);
  rows.forEach((row, rank) => {
    const above = rows[rank - 1];
    if (above === undefined) return;
    const weight = (id: string): number => {
      const at = edges
        .filter((edge) => edge.to === id && above.includes(edge.from))
        .map((edge) => above.indexOf(edge.from));
      return at.length === 0 ? row.indexOf(id) : at.reduce((sum, index) => sum + index, 0) / at.length;
    };
    const weights = new Map(row.map((id) => [id, weight(id)]));
    row.sort((one, other) => (weights.get(one) ?? 0) - (weights.get(other) ?? 0));
  });
  return rows;
}

function place(rows: readonly (readonly string[])[], { nodes, isHorizontal }: Graph): Map<string, Placed> {
  const sized = new Map(nodes.map((node) => [node.id, { node, ...sizeOf(node) }]));
  const along = (size: { width: number; height: number }): number => (isHorizontal ? size.height : size.width);
  const across = (size: { width: number; height: number }): number => (isHorizontal ? size.width : size.height);
  const boxesOf = (row: readonly string[]) => row.flatMap((id) => sized.get(id) ?? []);
  const lengthOf = (row: readonly string[]): number =>
    boxesOf(row).reduce((sum, box) => sum + along(box) + gap.box, -gap.box);
  const longest = Math.max(...rows.map(lengthOf), 0);
  const placed = new Map<string, Placed>();
  let depth: number = gap.margin;
  for (const row of rows) {
    let at = gap.margin + (longest - lengthOf(row)) / 2;
    for (const box of boxesOf(row)) {
      placed.set(box.node.id, { ...box, x: isHorizontal ? depth : at, y: isHorizontal ? at : depth });
      at += along(box) + gap.box;
    }
    depth += Math.max(...boxesOf(row).map(across), 0) + gap.rank;
  }
  return placed;
}

function sizeOf({ lines }: GraphNode): { width: number; height: number } {
  const extra = lines.length > 1 ? 4 : 0;
  return {
    width: Math.max(...lines.map(widthOf), 30) + 2 * gap.padding,
    height: lines.length * lineHeight + 2 * gap.padding + extra,
  };
}

function drawEdge(edge: GraphEdge, placed: ReadonlyMap<string, Placed>): string[] {
  const from = placed.get(edge.from);
  const to = placed.get(edge.to);
  if (from === undefined || to === undefined) return [];
  const isDashed = edge.isDashed === true;
  if (from === to) {
    const right = from.x + from.width;
    const label = edge.label === undefined ? [] : [svgText({ x: right + 4, y: from.y - 4 }, edge.label)];
    const loop = `<path d="M${right - 14} ${from.y} v-14 h26 v26 h-12" fill="none" stroke="#555" marker-end="url(#head)"/>`;
    return [loop, ...label];
  }
  const start = borderPoint(from, centerOf(to));
  const end = borderPoint(to, centerOf(from));
  const label =
    edge.label === undefined
      ? []
      : [svgText({ x: (start.x + end.x) / 2 + 6, y: (start.y + end.y) / 2 - 4 }, edge.label)];
  return [svgLine(start, end, { isDashed, hasHead: true }), ...label];
}

function centerOf(box: Placed): Point {
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

/** Where the line from the box's middle to `target` leaves the box. */
function borderPoint(box: Placed, target: Point): Point {
  const center = centerOf(box);
  const dx = target.x - center.x;
  const dy = target.y - center.y;
  const scale = 1 / Math.max(Math.abs(dx) / (box.width / 2), Math.abs(dy) / (box.height / 2), Number.EPSILON);
  return { x: center.x + dx * scale, y: center.y + dy * scale };
}

function drawBox(box: Placed): string[] {
  const { lines } = box.node;
  const radius = box.node.isRound === true ? Math.min(box.height / 2, 18) : 4;
  const middle = box.x + box.width / 2;
  const texts = lines.map((line, at) => {
    const y = box.y + gap.padding + lineHeight * (at + 0.7);
    const isHeading = at === 0 || lines.length === 1;
    return isHeading
      ? svgText({ x: middle, y }, line, { anchor: 'middle', isBold: lines.length > 1 })
      : svgText({ x: box.x + gap.padding, y: y + 4 }, line);
  });
  const rule = box.y + gap.padding + lineHeight;
  const under = lines.length > 1 ? [svgLine({ x: box.x, y: rule }, { x: box.x + box.width, y: rule })] : [];
  return [svgBox(box, box, { radius }), ...under, ...texts];
}
