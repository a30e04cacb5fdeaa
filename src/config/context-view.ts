// The context file as it may be shown: without tokens, wherever in the file they are.
import type { Document } from 'yaml';
import { fileError, parseDocument } from './context-file.ts';

const redacted = '[redacted]';
/** Keys whose value is a secret whatever program has put it there; `litellm-proxy` may hold keys of providers in its JSON. */
const secretKeys = /token|secret|password|api[-_]?key|config-json/i;
/** A JSON Web Token, which may also stand in a comment. */
const webToken = /\beyJ[\w-]+\.[\w-]+\.[\w-]*/g;

/** Throws a KubiyaError when the file is no YAML. */
export async function redactContexts(
  path: string,
  source: string,
  { isRaw }: { readonly isRaw: boolean },
): Promise<{ readonly text: string; readonly data: unknown }> {
  const forPrograms = await parseDocument(path, source);
  const forPeople = await parseDocument(path, source, 'failsafe');
  if (!forPrograms.ok) throw fileError(forPrograms.problems);
  if (!forPeople.ok) throw fileError(forPeople.problems);
  const { document } = forPrograms.value;
  if (isRaw) return { text: source, data: document.toJS() ?? {} };
  await redact(document);
  const secrets = await redact(forPeople.value.document);
  let text = forPeople.value.document.toString({ lineWidth: 0 });
  // The longest first: one may be the start of another.
  for (const secret of secrets.toSorted((one, other) => other.length - one.length))
    text = text.replaceAll(secret, redacted);
  return { text: text.replaceAll(webToken, redacted), data: document.toJS() ?? {} };
}

/** What a token is at least; shorter values would turn words of the file into holes. */
const secretCharactersMin = 6;

/** Takes the secrets out of the document and gives them, because a comment may repeat one. */
async function redact(document: Document): Promise<readonly string[]> {
  const { isNode, isScalar, visit } = await import('yaml');
  const secrets: string[] = [];
  visit(document, {
    Pair: (_key, pair) => {
      if (!isScalar(pair.key) || !secretKeys.test(String(pair.key.value)) || !isNode(pair.value)) return;
      visit(pair.value, {
        Scalar: (_place, node) => {
          if (node.value === null || node.value === '') return;
          const text = typeof node.value === 'string' ? node.value : (node.source ?? '');
          if (text.length >= secretCharactersMin) secrets.push(text);
          node.value = redacted;
          node.type = 'PLAIN';
        },
      });
    },
  });
  return secrets;
}
