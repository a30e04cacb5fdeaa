// Times as the control plane sends them: RFC 3339, Python's isoformat without a zone, or with a space; all of them are UTC.

const unzonedPattern = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2}(?:\.\d+)?)$/;

/** Milliseconds since 1970, or undefined when the value is no time. */
export function parseServerTime(value: unknown): number | undefined {
  if (typeof value !== 'string') return undefined;
  const milliseconds = Date.parse(value.replace(unzonedPattern, '$1T$2Z'));
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}

/** RFC 3339 with zone; now when the server sent no usable time. */
export function toUtcTimestamp(value: unknown): string {
  return new Date(parseServerTime(value) ?? Date.now()).toISOString();
}
