// Prompts of jobs with `{{.body.field}}`: what somebody else sent becomes a part of a prompt, as data and never as a template or an instruction of ours.
import { promptCharactersMax } from '../protocol/control-plane.ts';

export type RenderedPrompt =
  | { readonly ok: true; readonly prompt: string }
  | { readonly ok: false; readonly problem: string };

const placeholder = /\{\{\s*\.body((?:\.[\w-]+)*)\s*\}\}/g;
/** One line that no shell, template or Markdown reads as more than words. */
const plainText = /^[\p{L}\p{N} _.,:;@/+=#()&%?~!^-]*$/u;

/** What was put in is not looked at again, so a body cannot name other fields. */
export function renderPrompt(template: string, body: unknown): RenderedPrompt {
  let missing: string | undefined;
  let characters = 0;
  const prompt = template.replaceAll(placeholder, (_whole, path: string) => {
    // Too long already: a body that is named often would fill the memory before anybody looks at the length.
    if (characters > promptCharactersMax) return '';
    const value = valueAt(body, path.split('.').slice(1));
    if (value === undefined) missing ??= `body${path}`;
    const data = asData(value);
    characters += data.length;
    return data;
  });
  if (missing !== undefined) return { ok: false, problem: `The prompt names ${missing}, which was not sent` };
  if (prompt.length > promptCharactersMax)
    return { ok: false, problem: `The prompt with what was sent is longer than ${promptCharactersMax} characters` };
  return { ok: true, prompt };
}

function valueAt(body: unknown, path: readonly string[]): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  return value;
}

/** Plain words as they are; everything else as JSON on one line, whose quotes and escapes show where it begins and ends. */
function asData(value: unknown): string {
  if (typeof value === 'string' && plainText.test(value)) return value;
  return JSON.stringify(value ?? null)
    .replaceAll('`', String.raw`\u0060`)
    .replaceAll('\u2028', String.raw`\u2028`)
    .replaceAll('\u2029', String.raw`\u2029`);
}
