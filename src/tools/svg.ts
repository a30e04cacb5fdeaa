// The few words of SVG that our drawings need; text is escaped here, and nowhere else.

const fontSize = 13;
/** Average advance of a sans-serif letter: wide enough for most text, and nothing depends on the exact width. */
const letterWidth = 7.4;
export const lineHeight = 18;
/** Distinct on white and for most colour-blind people (Okabe–Ito). */
export const colors = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#8c8c00', '#666666'] as const;

export interface Point {
  readonly x: number;
  readonly y: number;
}

export function colorOf(index: number): string {
  return colors[index % colors.length] ?? colors[0];
}

export function widthOf(text: string): number {
  return Math.ceil(text.length * letterWidth);
}

export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

export function svgText(
  { x, y }: Point,
  text: string,
  options: { readonly anchor?: 'start' | 'middle' | 'end'; readonly isBold?: boolean } = {},
): string {
  const weight = options.isBold === true ? ' font-weight="600"' : '';
  return `<text x="${number(x)}" y="${number(y)}" text-anchor="${options.anchor ?? 'start'}"${weight}>${escapeXml(text)}</text>`;
}

export function svgLine(
  from: Point,
  to: Point,
  options: { readonly isDashed?: boolean; readonly hasHead?: boolean } = {},
): string {
  const dash = options.isDashed === true ? ' stroke-dasharray="5 4"' : '';
  const head = options.hasHead === true ? ' marker-end="url(#head)"' : '';
  return `<line x1="${number(from.x)}" y1="${number(from.y)}" x2="${number(to.x)}" y2="${number(to.y)}" stroke="#555"${dash}${head}/>`;
}

export function svgBox(
  at: Point,
  size: { readonly width: number; readonly height: number },
  options: { readonly fill?: string; readonly radius?: number } = {},
): string {
  return `<rect x="${number(at.x)}" y="${number(at.y)}" width="${number(size.width)}" height="${number(size.height)}" rx="${options.radius ?? 4}" fill="${options.fill ?? '#eef4fa'}" stroke="#555"/>`;
}

export function number(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** A whole file: white ground, a title, one arrow head; no scripts, links or fonts from elsewhere. */
export function svgDocument(
  title: string,
  size: { readonly width: number; readonly height: number },
  body: readonly string[],
): string {
  const width = number(Math.max(size.width, widthOf(title) + 40));
  const height = number(size.height + 40);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="${fontSize}">`,
    `<title>${escapeXml(title)}</title>`,
    '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
    `<rect width="100%" height="100%" fill="#fff"/>`,
    svgText({ x: 20, y: 26 }, title, { isBold: true }),
    `<g transform="translate(0 40)">`,
    ...body,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}
