// The context file as it may be shown: without tokens, wherever in the file they are.
import type { Document } from 'yaml';
import { dataOf, type ParsedFile, parseDocument, unwrap } from './context-file.ts';
import { withoutCredentials } from './values.ts';

const redacted = '[redacted]';
/** Keys whose value is a secret whatever program has put it there; `litellm-proxy` may hold keys of providers in its JSON. */
const secretKeys = /token|secret|passw|credential|api[-_]?key|private[-_]?key|config-json/i;
/** A JSON Web Token, which may also stand in a comment. */
const webToken = /\beyJ[\w-]+\.[\w-]+\.[\w-]*/g;

/** For people, with its comments. Throws a KubiyaError when the file cannot be read. */
export async function redactedText(path: string, source: string): Promise<string> {
  const { document } = await usable(path, source, 'failsafe');
  if (document.contents === null) return withoutSecrets(source, []);
  const secrets = await redact(document);
  return withoutSecrets(document.toString({ lineWidth: 0 }), secrets);
}

/** For programs. Throws a KubiyaError when the file cannot be read. */
export async function contextData(
  path: string,
  source: string,
  { isRaw }: { readonly isRaw: boolean },
): Promise<unknown> {
  const parsed = await usable(path, source, 'core');
  const secrets = isRaw ? [] : await redact(parsed.document);
  const data = unwrap(dataOf(parsed)) ?? {};
  if (isRaw) return data;
  const text = JSON.stringify(data, (_key, value: unknown) =>
    typeof value === 'string' ? withoutSecrets(value, secrets) : value,
  );
  return JSON.parse(text);
}

async function usable(path: string, source: string, schema: 'core' | 'failsafe'): Promise<ParsedFile> {
  const parsed = unwrap(await parseDocument(path, source, schema));
  unwrap(dataOf(parsed));
  return parsed;
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  // The longest first: one may be the start of another.
  const sorted = secrets.toSorted((one, other) => other.length - one.length);
  const plain = sorted.reduce((rest, secret) => rest.replaceAll(secret, redacted), text);
  return withoutCredentials(plain.replaceAll(webToken, redacted));
}
/** What a token is at least; shorter values would turn words of the file into holes. */
const secretCharactersMin = 6;

/** Takes the secrets out of the document and gives them, because a comment or another value may repeat one. */
async function redact(document: Document): Promise<readonly string[]> {
  const { isAlias, isNode, isScalar, visit } = await import('yaml');
  const secrets: string[] = [];
  const hide = (node: unknown): void => {
    // The value of an alias stands elsewhere in the file.
    const target = isAlias(node) ? node.resolve(document) : node;
    if (!isNode(target)) return;
    visit(target, {
      Alias: (_place, alias) => hide(alias),
      Scalar: (_place, scalar) => {
        if (scalar.value === null || scalar.value === '' || scalar.value === redacted) return;
        const text = typeof scalar.value === 'string' ? scalar.value : (scalar.source ?? '');
        if (text.length >= secretCharactersMin) secrets.push(text);
        scalar.value = redacted;
        scalar.type = 'PLAIN';
      },
    });
  };
  visit(document, {
    Pair: (_key, pair) => {
      if (isScalar(pair.key) && secretKeys.test(String(pair.key.value))) hide(pair.value);
    },
  });
  return secrets;
}
