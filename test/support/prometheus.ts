// Reads Prometheus' text format as strictly as promtool does: whoever writes it wrongly is told where.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

/** By name of the family. Throws with the line that is wrong. */
export function parseMetrics(text: string): ReadonlyMap<string, Family> {
  const families = new Map<string, Family>();
  const helps = new Map<string, string>();
  const seen = new Set<string>();
  let current = '';
  const refuse = (line: string, why: string): never => {
    throw new Error(`${why}: ${line}`);
  };
  if (!text.endsWith('\n')) refuse(text.slice(-80), 'the page does not end with a line feed');
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === 'HELP') {
      if (helps.has(name)) refuse(line, 'a second HELP');
      helps.set(name, rest);
    } else if (kind === 'TYPE') {
      if (families.has(name)) refuse(line, 'a second TYPE');
      if (!/^(counter|gauge|histogram|summary)$/.test(rest)) refuse(line, 'an unknown type');
      families.set(name, { type: rest, help: helps.get(name) ?? refuse(line, 'TYPE without HELP'), samples: [] });
      current = name;
    } else if (!line.startsWith('#')) {
      const sample = parseSample(line);
      const family = families.get(current);
      if (family === undefined || !belongs(sample.name, current, family.type)) refuse(line, 'outside its family');
      const key = sample.name + seriesOf(sample.labels);
      if (seen.has(key)) refuse(line, 'the same sample twice');
      seen.add(key);
      if (family?.type === 'counter' && (sample.value < 0 || !sample.name.endsWith('_total')))
        refuse(line, 'no counter');
      family?.samples.push(sample);
    }
  }
  for (const [name, family] of families) if (family.type === 'histogram') checkBuckets(name, family);
  return families;
}

/** The value of the one sample with these labels. Throws when there is none. */
export function valueOf(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Record<string, string> = {},
): number {
  const family = families.get(name) ?? families.get(name.replace(/_(sum|count|bucket)$/, ''));
  const found = family?.samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  );
  const [first] = found ?? [];
  if (first === undefined || found?.length !== 1)
    throw new Error(`${found?.length ?? 0} samples of ${name} ${JSON.stringify(labels)}`);
  return first.value;
}

const belongs = (name: string, family: string, type: string): boolean =>
  name === family || (type === 'histogram' && new RegExp(`^${family}_(bucket|sum|count)$`).test(name));

/** The same for the same labels, in whatever order. */
const seriesOf = (labels: Readonly<Record<string, string>>): string =>
  JSON.stringify(Object.entries(labels).toSorted(([one], [other]) => (one < other ? -1 : 1)));

function parseSample(line: string): Sample {
  const [, name = '', , inner = '', value = ''] =
    /^([a-zA-Z_:][\w:]*)(\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\["\\n])*",?)*)\})? (\S+)$/.exec(line) ?? [];
  if (name === '') throw new Error(`no sample: ${line}`);
  if (!/^[+-]?(\d+(\.\d+)?(e[+-]?\d+)?|Inf)$/i.test(value)) throw new Error(`no number: ${line}`);
  const labels: Record<string, string> = {};
  for (const [, key = '', text = ''] of inner.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\["\\n])*)"/g)) {
    if (key in labels) throw new Error(`a label twice: ${line}`);
    labels[key] = text.replaceAll(/\\(.)/g, (_all, letter: string) => (letter === 'n' ? '\n' : letter));
  }
  return { name, labels, value: Number(value.replace('Inf', 'Infinity')) };
}

/** Every series: buckets that never fall, ending with +Inf, which is the count. */
function checkBuckets(name: string, { samples }: Family): void {
  const series = new Map<string, { last: number; bound: number; count?: number }>();
  for (const sample of samples) {
    const { le, ...rest } = sample.labels;
    const key = seriesOf(rest);
    const one = series.get(key) ?? { last: 0, bound: -Infinity };
    series.set(key, one);
    if (sample.name === `${name}_count`) one.count = sample.value;
    if (le === undefined) continue;
    const bound = Number(le.replace('Inf', 'Infinity'));
    if (bound <= one.bound || sample.value < one.last) throw new Error(`buckets out of order: ${name} ${key}`);
    one.bound = bound;
    one.last = sample.value;
  }
  for (const [key, { bound, last, count }] of series)
    if (bound !== Infinity || last !== count) throw new Error(`buckets without an end: ${name} ${key}`);
}
