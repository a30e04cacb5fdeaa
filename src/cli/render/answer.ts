// An answer that has to be JSON (`--output-schema`).
import { jsonText } from '../output.ts';
import type { Outcome } from './renderer.ts';

/** The JSON of an answer; models like to put it into a fence. Undefined when there is none. */
export function jsonOf(answer: string): { readonly value: unknown } | undefined {
  const fenced = /^```\w*\n(.*)\n```$/s.exec(answer.trim());
  try {
    return { value: JSON.parse(fenced?.[1] ?? answer) as unknown };
  } catch {
    return undefined;
  }
}

/** What is wrong with an answer, as a sentence. The worker has checked it against the schema, where it is one of ours. */
export function answerChecker(_schema: Readonly<Record<string, unknown>>): (answer: string) => string | undefined {
  return (answer) => (jsonOf(answer) === undefined ? 'the answer is not JSON, as the schema demands' : undefined);
}

/** What is printed of an answer that has to be JSON: the JSON alone, and nothing of an execution that has failed. */
export function answerText({ status, response }: Pick<Outcome, 'status' | 'response'>): string {
  const json = status === 'completed' ? jsonOf(response) : undefined;
  return json === undefined ? '' : jsonText(json.value);
}
