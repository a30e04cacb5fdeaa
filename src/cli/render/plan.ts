// A plan for people: who does it where and why, the steps, the risks, in lines that fit a terminal.
import type { Plan } from '../../protocol/planner.ts';
import type { Sink } from '../output.ts';

/** In a pipe there is no width to ask for. */
const columnsDefault = 80;
/** Longer lines are hard to read on any screen. */
const columnsMax = 100;
const labelColumns = 11;

/** Every text of it comes from a planner and is shown without control characters. */
export function planText(plan: Plan, sink: Sink): string {
  const width = Math.min(sink.columns ?? columnsDefault, columnsMax);
  const rows: string[] = [];
  const add = (label: string, text: string | null | undefined): void => {
    const clean = sink.foreign(text ?? '').trim();
    if (clean === '') return;
    const [first = '', ...rest] = wrap(clean, width - labelColumns);
    rows.push(`${sink.style('dim', label.padEnd(labelColumns))}${first}`);
    rows.push(...rest.map((line) => ' '.repeat(labelColumns) + line));
  };
  const addList = (label: string, items: readonly string[] | null | undefined): void =>
    (items ?? []).forEach((item, index) => add(index === 0 ? label : '', `- ${item}`));
  const { recommended_execution: chosen, complexity } = plan;
  rows.push(sink.style('bold', `Plan: ${sink.foreign(plan.title).replaceAll('\n', ' ')}`));
  add('', plan.summary);
  add(chosen.entity_type === 'team' ? 'team' : 'agent', chosen.entity_name ?? chosen.entity_id);
  add('queue', chosen.recommended_worker_queue_name);
  add('because', chosen.reasoning);
  add('size', sizeOf(complexity));
  let number = 0;
  for (const part of plan.team_breakdown ?? []) {
    for (const task of part.tasks ?? []) {
      number += 1;
      const description = task.description ?? '';
      const who = part.agent_name ?? part.team_name;
      const by = who === undefined || who === null || who === chosen.entity_name ? '' : ` (${who})`;
      const title = `${number}. ${task.title}${by}`;
      add(number === 1 ? 'steps' : '', description === '' ? title : `${title}: ${description}`);
    }
  }
  addList('needs', plan.prerequisites);
  addList('risks', plan.risks);
  addList('done when', plan.success_criteria);
  return rows.join('\n');
}

function sizeOf(complexity: Plan['complexity']): string {
  const points = complexity?.story_points;
  if (points === undefined || points === null) return '';
  const confidence = complexity?.confidence;
  const sure = confidence === undefined || confidence === null || confidence === '' ? '' : `, ${confidence} confidence`;
  const reason = complexity?.reasoning ? `: ${complexity.reasoning}` : '';
  return `${points} ${points === 1 ? 'point' : 'points'}${sure}${reason}`;
}

/** At blanks; a word that is longer than a line is broken. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(/\s+/).flatMap((one) => pieces(one, width))) {
      if (line !== '' && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    if (line !== '') lines.push(line);
  }
  return lines;
}

function pieces(word: string, width: number): string[] {
  const size = Math.max(1, width);
  return Array.from({ length: Math.ceil(word.length / size) }, (_, index) =>
    word.slice(index * size, (index + 1) * size),
  );
}
