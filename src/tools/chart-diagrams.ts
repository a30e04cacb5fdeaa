// The diagrams with a drawing of their own: sequences, Gantt, pie, git, user journey, quadrants; and source written by hand.
import * as v from 'valibot';
import { drawGantt, drawGit, drawJourney, drawPie, drawQuadrants, drawSequence } from './chart-svg.ts';
import { defineDiagram, done, label, list, partsMax, undeclared } from './diagram-kind.ts';
import { createNames, plain, quoted } from './mermaid.ts';

const codeCharactersMax = 100_000;

export const sequenceDiagram = defineDiagram(
  'Draws a sequence diagram: who sends what to whom, in order.',
  v.strictObject({
    title: label,
    participants: list(label),
    interactions: list(
      v.strictObject({
        from: label,
        to: label,
        message: label,
        type: v.optional(v.picklist(['sync', 'async', 'reply']), 'sync'),
      }),
    ),
  }),
  (given) => {
    const problem = undeclared(
      given.participants,
      given.interactions.flatMap(({ from, to }) => [from, to]),
    );
    if (problem !== undefined) return problem;
    const name = createNames();
    const arrows = { sync: '->>', async: '-)', reply: '-->>' } as const;
    const body = [
      ...given.participants.map((participant) => `  participant ${name(participant)} as ${plain(participant)}`),
      ...given.interactions.map(
        ({ from, to, message, type }) => `  ${name(from)}${arrows[type]}${name(to)}: ${plain(message)}`,
      ),
    ];
    const svg = drawSequence(given.title, given.participants, given.interactions);
    return done('sequence', given.title, ['sequenceDiagram', ...body], svg);
  },
);

const dayMs = 86_400_000;
const isoDate = v.pipe(v.string(), v.isoDate(), v.description('YYYY-MM-DD'));

export const ganttDiagram = defineDiagram(
  'Draws a Gantt chart: tasks with a start and a length in days.',
  v.strictObject({
    title: label,
    tasks: list(
      v.strictObject({
        name: label,
        start: isoDate,
        days: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3_650)),
        section: v.optional(label),
        status: v.optional(v.picklist(['done', 'active', 'crit'])),
      }),
    ),
  }),
  (given) => {
    let section: string | undefined;
    const body = given.tasks.flatMap((task) => {
      const heading =
        task.section !== undefined && task.section !== section ? [`  section ${plain(task.section)}`] : [];
      section = task.section ?? section;
      const status = task.status === undefined ? '' : `${task.status}, `;
      return [...heading, `  ${plain(task.name)} :${status}${task.start}, ${task.days}d`];
    });
    const bars = given.tasks.map((task) => ({
      section: task.section ?? '',
      name: task.name,
      start: Math.round(Date.parse(`${task.start}T00:00:00Z`) / dayMs),
      days: task.days,
      status: task.status,
    }));
    const dateOf = (day: number): string => new Date(day * dayMs).toISOString().slice(0, 10);
    const wrong = bars.find(({ start }, at) => Number.isNaN(start) || dateOf(start) !== given.tasks[at]?.start);
    if (wrong !== undefined) return { ok: false, problem: `The start of ${wrong.name} is not a date of the calendar` };
    const svg = drawGantt(given.title, bars, dateOf);
    return done('gantt', given.title, ['gantt', '  dateFormat YYYY-MM-DD', ...body], svg);
  },
);

export const pieDiagram = defineDiagram(
  'Draws a pie chart: labels with their amounts.',
  v.strictObject({
    title: label,
    data: v.pipe(
      v.record(label, v.pipe(v.number(), v.finite(), v.minValue(0))),
      v.check((data) => Object.keys(data).length <= partsMax, `has more than ${partsMax} parts`),
      v.check((data) => Object.values(data).some((value) => value > 0), 'needs an amount above zero'),
    ),
  }),
  (given) => {
    const parts = Object.entries(given.data).map(([words, value]) => ({ label: words, value }));
    const body = parts.map((part) => `  ${quoted(part.label)} : ${part.value}`);
    return done('pie', given.title, ['pie showData', ...body], drawPie(given.title, parts));
  },
);

export const gitDiagram = defineDiagram(
  'Draws commits on branches; a commit may merge another branch.',
  v.strictObject({
    title: label,
    commits: list(v.strictObject({ message: label, branch: v.optional(label, 'main'), merges: v.optional(label) })),
  }),
  (given) => {
    const name = createNames();
    const seen = new Set(['main']);
    let current = 'main';
    const body: string[] = [];
    for (const { message, branch, merges } of given.commits) {
      if (merges !== undefined && (!seen.has(merges) || merges === branch)) {
        return { ok: false, problem: `${branch} cannot merge ${merges}, which has no commit of its own before` };
      }
      if (!seen.has(branch)) body.push(`  branch ${name(branch)}`);
      else if (branch !== current) body.push(`  checkout ${name(branch)}`);
      seen.add(branch);
      current = branch;
      body.push(
        merges === undefined ? `  commit id: ${quoted(message)}` : `  merge ${name(merges)} id: ${quoted(message)}`,
      );
    }
    const commits = given.commits.map(({ message, branch, merges }) => ({ label: message, branch, merges }));
    return done('git', given.title, ['gitGraph', ...body], drawGit(given.title, commits));
  },
);

export const journeyDiagram = defineDiagram(
  'Draws a user journey: steps in sections, each with a score from 1 (bad) to 5 (good) and who takes part.',
  v.strictObject({
    title: label,
    journey: list(
      v.strictObject({
        section: label,
        tasks: list(
          v.strictObject({
            name: label,
            score: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(5)),
            actors: v.optional(v.pipe(v.array(label), v.maxLength(10)), []),
          }),
        ),
      }),
    ),
  }),
  (given) => {
    const body = given.journey.flatMap(({ section, tasks }) => [
      `  section ${plain(section)}`,
      ...tasks.map(({ name, score, actors }) => `    ${plain(name)}: ${score}: ${actors.map(plain).join(', ')}`),
    ]);
    const steps = given.journey.flatMap(({ section, tasks }) => tasks.map((task) => ({ section, ...task })));
    return done('journey', given.title, ['journey', ...body], drawJourney(given.title, steps));
  },
);

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const axis = v.pipe(v.strictObject({ low: label, high: label }), v.description('What its two ends mean'));

export const quadrantDiagram = defineDiagram(
  'Draws a quadrant chart: items placed by two amounts between 0 and 1.',
  v.strictObject({
    title: label,
    x_axis: axis,
    y_axis: axis,
    items: list(v.strictObject({ name: label, x: share, y: share })),
  }),
  (given) => {
    const { x_axis: x, y_axis: y } = given;
    const body = [
      `  x-axis ${quoted(x.low)} --> ${quoted(x.high)}`,
      `  y-axis ${quoted(y.low)} --> ${quoted(y.high)}`,
      ...given.items.map((item) => `  ${quoted(item.name)}: [${item.x}, ${item.y}]`),
    ];
    const svg = drawQuadrants({ title: given.title, x: [x.low, x.high], y: [y.low, y.high], items: given.items });
    return done('quadrant', given.title, ['quadrantChart', ...body], svg);
  },
);

/** How the source of each kind of diagram that Mermaid knows begins. */
const mermaidKinds =
  /^(flowchart|graph|sequenceDiagram|classDiagram|erDiagram|gantt|pie|stateDiagram(-v2)?|gitGraph|journey|quadrantChart|mindmap|timeline|requirementDiagram|xychart-beta|sankey-beta|block-beta|C4Context)(\s|:|$)/;

export const rawDiagram = defineDiagram(
  'Saves a diagram that you write in Mermaid yourself; prefer the other tools where one fits, because they also draw it.',
  v.strictObject({
    diagram_code: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(codeCharactersMax)),
    title: v.optional(label, 'diagram'),
  }),
  (given) => {
    const code = given.diagram_code;
    if (/%%\s*\{|^---/m.test(code))
      return { ok: false, problem: 'Directives and front matter are not allowed in a diagram' };
    // A statement also begins behind a semicolon.
    if (/(?:^|;)\s*(?:click|href|links?|callback)\s|javascript:/im.test(code))
      return { ok: false, problem: 'Links and callbacks are not allowed in a diagram' };
    // `<<` marks what a class is, and a tag has a letter or a slash behind one `<`.
    if (/(?<!<)<(?!br\s*\/?>)[a-z!/]/i.test(code))
      return { ok: false, problem: 'HTML is not allowed in a diagram, except <br/>' };
    if (!mermaidKinds.test(code))
      return { ok: false, problem: 'The code does not begin with a kind of Mermaid diagram, such as flowchart TD' };
    return done('mermaid', given.title, [code]);
  },
);
