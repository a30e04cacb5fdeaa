// Judges an answer by `--output-schema` once more where it arrives: another control plane knows nothing of schemas.
import { KubiyaError } from '../errors.ts';
import { judgeAnswer, schemaProblem, type Structured } from '../worker/activities/output-schema.ts';

/** Throws a KubiyaError for a schema that cannot be used, so that it is said before anything starts. */
export function createAnswerJudge(schema: Readonly<Record<string, unknown>>): (answer: string) => Structured {
  const problem = schemaProblem(schema);
  if (problem !== undefined) {
    throw new KubiyaError(`the output schema cannot be used: ${problem}`, {
      kind: 'usage',
      code: 'schema_invalid',
      hint: 'write a JSON Schema, such as {"type": "object"}',
    });
  }
  return (answer) => judgeAnswer(answer, schema);
}
