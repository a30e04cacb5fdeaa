// Draws the diagrams that are no graphs: pie, quadrants, Gantt, sequence, user journey and branches of git.
import { type Point, colorOf, lineHeight, number, svgBox, svgDocument, svgLine, svgText, widthOf } from './svg.ts';

export function drawPie(title: string, parts: readonly { readonly label: string; readonly value: number }[]): string {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  const radius = 120;
  const center: Point = { x: 160, y: 150 };
  let turn = 0;
  const body = parts.flatMap(({ label, value }, index) => {
    const share = value / total;
    const slice = sliceOf({ center, radius }, { from: turn, share }, colorOf(index));
    turn += share;
    const y = 50 + index * (lineHeight + 6);
    const words = `${label}: ${number(value)} (${number(share * 100)} %)`;
    return [
      ...(value === 0 ? [] : [slice]),
      svgBox({ x: 310, y: y - 12 }, { width: 14, height: 14 }, { fill: colorOf(index), radius: 2 }),
      svgText({ x: 332, y }, words),
    ];
  });
  const width = 350 + Math.max(...parts.map(({ label }) => widthOf(label))) + 140;
  return svgDocument(title, { width, height: Math.max(300, 60 + parts.length * (lineHeight + 6)) }, body);
}

function sliceOf(
  { center, radius }: { readonly center: Point; readonly radius: number },
  { from, share }: { readonly from: number; readonly share: number },
  fill: string,
): string {
  if (share > 0.9999) return `<circle cx="${center.x}" cy="${center.y}" r="${radius}" fill="${fill}"/>`;
  const pointAt = (turn: number): string => {
    const angle = (turn - 0.25) * 2 * Math.PI;
    return `${number(center.x + radius * Math.cos(angle))} ${number(center.y + radius * Math.sin(angle))}`;
  };
  const isLarge = share > 0.5 ? 1 : 0;
  return `<path d="M${center.x} ${center.y} L${pointAt(from)} A${radius} ${radius} 0 ${isLarge} 1 ${pointAt(from + share)} Z" fill="${fill}" stroke="#fff"/>`;
}

export interface Quadrants {
  readonly title: string;
  readonly x: readonly [low: string, high: string];
  readonly y: readonly [low: string, high: string];
  readonly items: readonly { readonly name: string; readonly x: number; readonly y: number }[];
}

export function drawQuadrants(chart: Quadrants): string {
  const side = 440;
  const left = 40;
  const body = [
    svgBox({ x: left, y: 24 }, { width: side, height: side }, { fill: '#f7f9fb', radius: 0 }),
    svgLine({ x: left + side / 2, y: 24 }, { x: left + side / 2, y: 24 + side }),
    svgLine({ x: left, y: 24 + side / 2 }, { x: left + side, y: 24 + side / 2 }),
    svgText({ x: left, y: 16 }, chart.y[1]),
    svgText({ x: left, y: side + 42 }, `${chart.y[0]} · ${chart.x[0]}`),
    svgText({ x: left + side, y: side + 42 }, chart.x[1], { anchor: 'end' }),
    ...chart.items.flatMap(({ name, x, y }, index) => {
      const at = { x: left + x * side, y: 24 + (1 - y) * side };
      const anchor = x > 0.7 ? 'end' : 'start';
      return [
        `<circle cx="${number(at.x)}" cy="${number(at.y)}" r="6" fill="${colorOf(index)}"/>`,
        svgText({ x: at.x + (anchor === 'end' ? -10 : 10), y: at.y + 4 }, name, { anchor }),
      ];
    }),
  ];
  return svgDocument(chart.title, { width: side + 2 * left, height: side + 60 }, body);
}

export interface Bar {
  readonly section: string;
  readonly name: string;
  /** Days since 1970. */
  readonly start: number;
  readonly days: number;
  readonly status: 'done' | 'active' | 'crit' | undefined;
}

export function drawGantt(title: string, bars: readonly Bar[], dateOf: (day: number) => string): string {
  const first = Math.min(...bars.map((bar) => bar.start));
  const last = Math.max(...bars.map((bar) => bar.start + bar.days));
  const left = Math.max(...bars.map((bar) => widthOf(`${bar.section} ${bar.name}`))) + 40;
  const width = 640;
  const dayWidth = width / Math.max(last - first, 1);
  const fills = { done: '#b8c4ce', active: '#56b4e9', crit: '#d55e00', planned: '#9ecae1' } as const;
  const body = bars.flatMap((bar, index) => {
    const y = 30 + index * 28;
    const size = { width: Math.max(bar.days * dayWidth, 3), height: 18 };
    const label = bar.section === '' ? bar.name : `${bar.section} · ${bar.name}`;
    return [
      svgText({ x: 20, y: y + 13 }, label),
      svgBox({ x: left + (bar.start - first) * dayWidth, y }, size, {
        fill: fills[bar.status ?? 'planned'],
        radius: 3,
      }),
    ];
  });
  const axis = [
    svgText({ x: left, y: 18 }, dateOf(first)),
    svgText({ x: left + width, y: 18 }, dateOf(last), { anchor: 'end' }),
  ];
  return svgDocument(title, { width: left + width + 20, height: 50 + bars.length * 28 }, [...axis, ...body]);
}

export interface Interaction {
  readonly from: string;
  readonly to: string;
  readonly message: string;
  readonly type: 'sync' | 'async' | 'reply';
}

export function drawSequence(
  title: string,
  participants: readonly string[],
  interactions: readonly Interaction[],
): string {
  const spacing = Math.max(
    140,
    ...participants.map((name) => widthOf(name) + 40),
    ...interactions.map(({ message }) => widthOf(message) + 30),
  );
  const xOf = (name: string): number => 20 + spacing / 2 + participants.indexOf(name) * spacing;
  const height = 70 + interactions.length * 44;
  const lifelines = participants.flatMap((name) => {
    const box = { width: widthOf(name) + 24, height: 30 };
    return [
      svgLine({ x: xOf(name), y: 40 }, { x: xOf(name), y: height }, { isDashed: true }),
      svgBox({ x: xOf(name) - box.width / 2, y: 10 }, box),
      svgText({ x: xOf(name), y: 30 }, name, { anchor: 'middle' }),
    ];
  });
  const arrows = interactions.flatMap(({ from, to, message, type }, index) => {
    const y = 76 + index * 44;
    const isDashed = type !== 'sync';
    if (from === to) {
      const x = xOf(from);
      const loop = `<path d="M${x} ${y - 6} h30 v14 h-30" fill="none" stroke="#555" marker-end="url(#head)"/>`;
      return [loop, svgText({ x: x + 36, y: y + 4 }, message)];
    }
    const middle = (xOf(from) + xOf(to)) / 2;
    return [
      svgLine({ x: xOf(from), y }, { x: xOf(to), y }, { isDashed, hasHead: true }),
      svgText({ x: middle, y: y - 6 }, message, { anchor: 'middle' }),
    ];
  });
  return svgDocument(title, { width: 40 + participants.length * spacing, height }, [...lifelines, ...arrows]);
}

export interface JourneyStep {
  readonly section: string;
  readonly name: string;
  /** 1 to 5. */
  readonly score: number;
  readonly actors: readonly string[];
}

export function drawJourney(title: string, steps: readonly JourneyStep[]): string {
  const lines = steps.map(({ section, name, actors }) => [section, name, actors.join(', ')] as const);
  const spacing = Math.max(120, ...lines.flat().map((line) => widthOf(line) + 24));
  const pointOf = (index: number): Point => ({
    x: 20 + spacing / 2 + index * spacing,
    y: 30 + (5 - (steps[index]?.score ?? 1)) * 36,
  });
  const body = steps.flatMap(({ score }, index) => {
    const at = pointOf(index);
    const line = index === 0 ? [] : [svgLine(pointOf(index - 1), at)];
    const words = (lines[index] ?? []).map((text, row) =>
      svgText({ x: at.x, y: 220 + row * lineHeight }, text, { anchor: 'middle', isBold: row === 1 }),
    );
    const circle = `<circle cx="${number(at.x)}" cy="${number(at.y)}" r="13" fill="${colorOf(score + 1)}"/>`;
    return [
      ...line,
      circle,
      svgText({ x: at.x, y: at.y + 5 }, String(score), { anchor: 'middle', isBold: true }),
      ...words,
    ];
  });
  return svgDocument(title, { width: 40 + steps.length * spacing, height: 280 }, body);
}

export interface GitCommit {
  readonly label: string;
  readonly branch: string;
  /** Branch that is merged by this commit. */
  readonly merges: string | undefined;
}

export function drawGit(title: string, commits: readonly GitCommit[]): string {
  const branches = [...new Set(commits.map(({ branch }) => branch))];
  const left = Math.max(...branches.map(widthOf)) + 50;
  const spacing = Math.max(80, ...commits.map(({ label }) => widthOf(label) + 16));
  const pointOf = (index: number): Point => ({
    x: left + index * spacing,
    y: 30 + branches.indexOf(commits[index]?.branch ?? '') * 60,
  });
  const lastOn = new Map<string, number>();
  const body = commits.flatMap(({ label, branch, merges }, index) => {
    const at = pointOf(index);
    const parent = lastOn.get(branch) ?? (index === 0 ? undefined : index - 1);
    const merged = merges === undefined ? undefined : lastOn.get(merges);
    lastOn.set(branch, index);
    const lines = [parent, merged].flatMap((from) => (from === undefined ? [] : [svgLine(pointOf(from), at)]));
    const circle = `<circle cx="${number(at.x)}" cy="${number(at.y)}" r="8" fill="${colorOf(branches.indexOf(branch))}"/>`;
    return [...lines, circle, svgText({ x: at.x, y: at.y + 26 }, label, { anchor: 'middle' })];
  });
  const names = branches.map((name, row) => svgText({ x: 20, y: 34 + row * 60 }, name, { isBold: true }));
  const width = left + commits.length * spacing + 20;
  return svgDocument(title, { width, height: 40 + branches.length * 60 }, [...names, ...body]);
}
