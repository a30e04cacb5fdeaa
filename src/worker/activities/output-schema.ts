// Judges the last answer by the output schema of its execution.
import { Validator } from '@cfworker/json-schema';
import { messageOf } from '../../errors.ts';

/** More problems at once do not help a model to mend its answer. */
const problemsMax = 5;
const problemCharactersMax = 1_000;

export type Structured = { readonly json: string } | { readonly problem: string };

/** The JSON of an answer, alone or in one fenced block, if it matches; else one sentence for the model. */
export function judgeAnswer(answer: string, schema: Readonly<Record<string, unknown>>): Structured {
  const json = jsonOf(answer);
  if (json === undefined) return { problem: 'it is not one JSON value' };
  try {
    // The message of each error names the keyword and the place.
    const { valid, errors } = new Validator(schema, '2020-12', false).validate(json.value);
    if (valid) return { json: json.text };
    const problems = errors
      .filter(({ keyword }) => keyword !== 'properties' && keyword !== 'items')
      .slice(0, problemsMax)
      .map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`);
    return { problem: problems.join('; ').slice(0, problemCharactersMax).toWellFormed() };
  } catch (error) {
    return { problem: `the schema itself cannot be used (${messageOf(error)})`.slice(0, problemCharactersMax) };
  }
}

/** One sentence, or undefined for a schema that can be used. */
export function schemaProblem(schema: Readonly<Record<string, unknown>>): string | undefined {
  try {
    new Validator(schema, '2020-12', false).validate(null);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function jsonOf(answer: string): { readonly text: string; readonly value: unknown } | undefined {
  const fenced = /```(?:json)?[ \t]*\n([^]*?)\n[ \t]*```/.exec(answer)?.[1];
  for (const text of [answer.trim(), fenced?.trim()]) {
    if (text === undefined) continue;
    try {
      return { text, value: JSON.parse(text) };
    } catch {
      // Not JSON as it stands: the fenced block, if there is one, is tried next.
    }
  }
  return undefined;
}
