// Cron expressions of five fields: what is wrong with one, and the schedules that mean the same to Temporal.

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const months = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const days = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];
const fields: readonly Field[] = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, names: months },
  { name: 'day of week', min: 0, max: 7, names: days },
];
const shorthands: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};
const daysOfMonth = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const example = 'for example "0 9 * * MON-FRI" is 9:00 on working days';

/** What is wrong, as the end of a sentence about the expression and with an example; null when nothing is. */
export function cronProblem(expression: string): string | null {
  const words = wordsOf(expression);
  if (words.length === 1 && words[0]?.startsWith('@') === true)
    return `has an unknown shorthand; there are ${Object.keys(shorthands).join(', ')}`;
  if (words.length !== fields.length) {
    return `has ${words.length} fields instead of 5 (minute, hour, day of month, month, day of week); ${example}`;
  }
  const values: Set<number>[] = [];
  for (const [index, field] of fields.entries()) {
    const result = valuesOf(words[index] ?? '', field);
    if (typeof result === 'string') return `has a wrong ${field.name}: ${result}; ${example}`;
    values.push(result);
  }
  const [, , daySet = new Set(), monthSet = new Set()] = values;
  const hasDate = [...monthSet].some((month) => [...daySet].some((day) => day <= (daysOfMonth[month - 1] ?? 0)));
  // With a day of the week as well, either of the two is enough.
  if (!hasDate && isAny(words[4] ?? '*')) return 'never comes: its months do not have that day';
  return null;
}

/**
 * Temporal's own reading wants day of month *and* day of week, everybody else's wants either when both are given: two
 * expressions of which each leaves one out.
 */
export function cronForTemporal(expression: string): string[] {
  const [minute, hour, day = '*', month, weekday = '*'] = wordsOf(expression).map(withNumbers);
  if (isAny(day) || isAny(weekday)) return [`${minute} ${hour} ${day} ${month} ${weekday}`];
  return [`${minute} ${hour} ${day} ${month} *`, `${minute} ${hour} * ${month} ${weekday}`];
}

function wordsOf(expression: string): string[] {
  const trimmed = expression.trim();
  return (shorthands[trimmed.toLowerCase()] ?? trimmed).split(/\s+/);
}

const isAny = (word: string): boolean => word === '*' || word === '?' || word === '*/1';

/** Names are replaced, because Temporal reads fewer of them; 7 is Sunday too. */
function withNumbers(word: string, index: number): string {
  const field = fields[index];
  if (field === undefined) return word;
  if (word === '?') return '*';
  if (field.names === undefined) return word;
  const result = valuesOf(word, field);
  if (typeof result === 'string' || isAny(word)) return word;
  const isWeekday = field.max === 7;
  const numbers = new Set([...result].map((value) => (isWeekday ? value % 7 : value)));
  return [...numbers].toSorted((a, b) => a - b).join(',');
}

/** The values that a field matches, or what is wrong with it. */
function valuesOf(word: string, field: Field): Set<number> | string {
  const values = new Set<number>();
  for (const part of word.split(',')) {
    const match = /^(\*|\?|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/(\d{1,3}))?$/i.exec(part);
    if (match === null) return `${JSON.stringify(part.slice(0, 40))} is no value, range or step`;
    const [, from = '', to, stepText] = match;
    const isStar = from === '*' || from === '?';
    if (isStar && to !== undefined) return `${JSON.stringify(part)} mixes * and a range`;
    const first = isStar ? field.min : numberOf(from, field);
    // A single value with a step runs to the end.
    const last = isStar
      ? field.max
      : to === undefined
        ? stepText === undefined
          ? first
          : field.max
        : numberOf(to, field);
    if (first === null || last === null) return `${JSON.stringify(part)} is not within ${field.min}–${field.max}`;
    if (first > last) return `${JSON.stringify(part)} ends before it begins`;
    const step = stepText === undefined ? 1 : Number(stepText);
    if (step === 0) return `${JSON.stringify(part)} has a step of 0`;
    for (let value = first; value <= last; value += step) values.add(value);
  }
  return values;
}

function numberOf(text: string, { min, max, names }: Field): number | null {
  const named = names?.indexOf(text.toUpperCase()) ?? -1;
  // Months count from 1, days from 0: the least value of the field.
  const value = named >= 0 ? named + min : /^\d{1,2}$/.test(text) ? Number(text) : -1;
  return value >= min && value <= max ? value : null;
}
