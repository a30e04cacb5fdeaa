// Who is to do a task, chosen without a language model: by the words that the task shares with names, capabilities and descriptions.
import type { Plan, PlanRequest } from '../protocol/planner.ts';

export interface Candidate {
  readonly type: 'agent' | 'team';
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly capabilities: readonly string[];
}

export interface Ranked extends Candidate {
  readonly score: number;
  /** Words of the task that speak for it. */
  readonly words: readonly string[];
}

const defaultName = 'default';
/** A name says most, a capability was written to be found, a description mentions many things. */
const weights = { wholeName: 10, name: 4, capability: 3, description: 1 };
/** Shorter words share their beginning by accident. */
const stemCharactersMin = 5;
const wordsShownMax = 5;
const titleCharactersMax = 80;
/** Of a task with a log pasted into it: its first and last words say what is wanted. All of them took seconds with 100 agents. */
const taskWordsMax = 600;

const commonWords = new Set(
  (
    'about after all and any are before but can could does for from get give has have her his how into its let make ' +
    'more most not now one our out please run should show some tell than that the their them then there these they ' +
    'this those use was were what when where which who why will with would you your'
  ).split(' '),
);

/** Best first; among equals the agent `default`, then agents before teams, then the order of the request. */
export function rankCandidates(request: PlanRequest): readonly Ranked[] {
  const words = wordsOf(request.description);
  const task = ` ${[...words].join(' ')} `;
  const telling = endsOf([...words], taskWordsMax);
  const ranked = candidatesOf(request).map((candidate) => rank(candidate, telling, task));
  const isDefault = ({ name }: Ranked): number => Number(name === defaultName);
  return ranked.toSorted((a, b) => b.score - a.score || isDefault(b) - isDefault(a));
}

export function candidatesOf({ agents, teams }: PlanRequest): readonly Candidate[] {
  const candidateOf =
    (type: Candidate['type']) =>
    (one: PlanRequest['teams'][number] & Partial<PlanRequest['agents'][number]>): Candidate => {
      const { id, name, description, capabilities } = one;
      return { type, id, name, description: description ?? '', capabilities: capabilities ?? [] };
    };
  return [...agents.map(candidateOf('agent')), ...teams.map(candidateOf('team'))];
}

function rank(candidate: Candidate, words: readonly string[], task: string): Ranked {
  const places = [
    { words: wordsOf(candidate.name), weight: weights.name },
    { words: wordsOf(candidate.capabilities.join(' ')), weight: weights.capability },
    { words: wordsOf(candidate.description), weight: weights.description },
  ];
  const name = [...wordsOf(candidate.name)].join(' ');
  let score = name !== '' && name !== defaultName && task.includes(` ${name} `) ? weights.wholeName : 0;
  const shared: string[] = [];
  for (const word of words) {
    const points = places.reduce(
      (sum, place) => sum + ([...place.words].some((other) => isAlike(word, other)) ? place.weight : 0),
      0,
    );
    if (points > 0) shared.push(word);
    score += points;
  }
  return { ...candidate, score, words: shared };
}

function endsOf(words: readonly string[], max: number): readonly string[] {
  return words.length <= max ? words : [...words.slice(0, max / 2), ...words.slice(-max / 2)];
}

function wordsOf(text: string): ReadonlySet<string> {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [];
  return new Set(words.filter((word) => !commonWords.has(word)));
}

/** `deploy` and `deployment`, `log` and `logs`. */
function isAlike(a: string, b: string): boolean {
  if (a === b || a === `${b}s` || b === `${a}s`) return true;
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  return short.length >= stemCharactersMin && long.startsWith(short);
}

/** `why` continues "without a language model"; undefined when there is nobody to choose from. */
export function planByRules(request: PlanRequest, why: string): Plan | undefined {
  const [best] = rankCandidates(request);
  if (best === undefined) return undefined;
  return {
    title: titleOf(request.description),
    summary: `The ${best.type} ${best.name} does the task as it was asked.`,
    recommended_execution: recommendationOf(request, best, `${reasonOf(request, best)} ${why}`.trim()),
    risks: [],
    prerequisites: [],
    success_criteria: [],
  };
}

export function recommendationOf(
  { environments, worker_queues: queues }: PlanRequest,
  { type, id, name }: Candidate,
  reasoning: string,
): Plan['recommended_execution'] {
  const staffed = queues.filter((one) => (one.active_workers ?? 0) > 0);
  const queue = staffed.length === 1 ? staffed[0] : staffed.find((one) => one.name === defaultName);
  const environment = environments.find((one) => one.id === queue?.environment_id);
  return {
    entity_type: type,
    entity_id: id,
    entity_name: name,
    recommended_environment_id: environment?.id ?? null,
    recommended_environment_name: environment?.name ?? null,
    recommended_worker_queue_id: queue?.id ?? null,
    recommended_worker_queue_name: queue?.name ?? null,
    reasoning,
  };
}

function reasonOf(request: PlanRequest, best: Ranked): string {
  if (candidatesOf(request).length === 1) return `It is the only ${best.type}.`;
  if (best.score === 0) return `Nothing in the task points to anybody, so it is the ${best.type} ${best.name}.`;
  const words = best.words.slice(0, wordsShownMax).join(', ');
  return `Chosen by rules: ${words === '' ? 'the task names it' : `the task says ${words}`}.`;
}

export function titleOf(description: string): string {
  const line = description.trim().split('\n')[0] ?? '';
  return line.length > titleCharactersMax ? `${line.slice(0, titleCharactersMax - 1)}…` : line;
}
