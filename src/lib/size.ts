// Sizes as people and Kubernetes write them: `512Mi`, `2G`, `1000`.

/** Kubernetes' resource quantities: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ */
const units: Readonly<Record<string, number>> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** The number behind `1.5G`, `1000m` or `2`; null when the text is no quantity. */
export function parseQuantity(text: string): number | null {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(text) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  return digits === undefined || factor === undefined ? null : Number(digits) * factor;
}

/** The shortest text that means exactly this many bytes. */
export function formatBytes(bytes: number): string {
  return Object.entries(units)
    .filter(([unit, factor]) => unit !== 'm' && bytes % factor === 0)
    .map(([unit, factor]) => `${bytes / factor}${unit}`)
    .reduce((shortest, text) => (text.length < shortest.length ? text : shortest), String(bytes));
}
