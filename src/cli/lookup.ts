// Finds the one thing of a list that a user means by its id or its name.
import { KubiyaError } from '../errors.ts';
import { suggestion } from './suggest.ts';

export interface Named {
  readonly id: string;
  readonly name: string;
}

/** Names listed in a message; a longer list belongs to the list command. */
const namesShownMax = 10;

/** By id, else by name; unknown is the API's refusal (exit 4), an ambiguous name a mistake of the command line (exit 2). */
export function lookUp<T extends Named>(kind: string, wanted: string, candidates: readonly T[]): T {
  const byId = candidates.find((candidate) => candidate.id === wanted);
  if (byId !== undefined) return byId;
  const byName = candidates.filter((candidate) => candidate.name === wanted);
  const [only, ...others] = byName;
  if (only === undefined) {
    throw new KubiyaError(`there is no ${kind} "${wanted}"`, {
      kind: 'api_refused',
      code: `${kind}_not_found`,
      hint: suggestion(
        wanted,
        candidates.map(({ name }) => name),
        `\`kubiya ${kind} list\` lists them`,
      ),
    });
  }
  if (others.length === 0) return only;
  throw new KubiyaError(
    `${byName.length} ${kind}s have the name "${wanted}": ${byName.map(({ id }) => id).join(', ')}`,
    {
      kind: 'usage',
      code: `${kind}_ambiguous`,
      hint: 'name it by its id',
    },
  );
}

export function namesOf(candidates: readonly Named[]): string {
  const names = candidates.slice(0, namesShownMax).map(({ name }) => name);
  return candidates.length > namesShownMax ? `${names.join(', ')}, …` : names.join(', ');
}
