// Durations as people write them: `500ms`, `30s`, `1h30m`.

const unitMs: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
const durationPattern = /^(?:\d+(?:\.\d+)?(?:ms|[dhms]))+$/;

/** Milliseconds of `30s`, `1.5h`, `1h30m`, `0`; null when the text is no duration (a number without a unit is none). */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === '0') return 0;
  if (!durationPattern.test(trimmed)) return null;
  let totalMs = 0;
  for (const [, amount, unit = ''] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|[dhms])/g)) {
    totalMs += Number(amount) * (unitMs[unit] ?? 0);
  }
  return Number.isSafeInteger(Math.round(totalMs)) ? Math.round(totalMs) : null;
}

/** The shortest text that a person reads at once and `parseDuration` understands: `850ms`, `4.2s`, `12m5s`, `3h`. */
export function formatDuration(ms: number): string {
  const rounded = Math.max(0, Math.round(ms));
  if (rounded < 1_000) return `${rounded}ms`;
  if (rounded < 59_950) return `${Number((rounded / 1_000).toFixed(1))}s`;
  let seconds = Math.round(rounded / 1_000);
  let text = '';
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text;
}
