// Changes the context file as a document, so that comments and keys of other programs stay as they are.
import type * as yamlModule from 'yaml';
import type { Document, Node, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import { KubiyaError } from '../errors.ts';
import { parseDocument, unwrap } from './context-file.ts';
import { options } from './options.ts';

/** What a change may do; every name is that of a context unless it says otherwise. */
export interface ContextEditor {
  current(): string | undefined;
  use(name: string): void;
  /** Creates the context where there is none; what is undefined stays as it is. */
  set(name: string, values: ContextValues): { readonly isNew: boolean; readonly user: string };
  /** True when it was the current one, of which there is none afterwards. */
  remove(name: string): { readonly wasCurrent: boolean };
  rename(from: string, to: string): void;
  /** False when its user had none. */
  removeToken(name: string): boolean;
}

export interface ContextValues {
  readonly url?: string | undefined;
  readonly organization?: string | undefined;
  readonly user?: string | undefined;
  readonly token?: string | undefined;
  readonly usesV1Api?: boolean | undefined;
}

/** The text after the change. Throws a KubiyaError when the file is broken or the change is impossible. */
export async function editContexts<T>(
  path: string,
  source: string,
  change: (editor: ContextEditor) => T,
): Promise<{ readonly text: string; readonly result: T }> {
  const yaml = await import('yaml');
  const { document } = unwrap(await parseDocument(path, source, 'failsafe'));
  if (!yaml.isMap(document.contents)) {
    // Comments of an otherwise empty file stay above.
    document.contents = document.createNode({ apiVersion: 'v1', kind: 'Config' });
  }
  const result = change(createEditor(document, yaml));
  // Never folded, and lists written as the author has written them.
  const text = document.toString({
    lineWidth: 0,
    indentSeq: !/^(?:contexts|users):[ \t]*\r?\n-/m.test(source),
    flowCollectionPadding: !/[[{][^\s\]}]/.test(source),
  });
  const lines = source.includes('\r\n') ? text.replaceAll(/\r?\n/g, '\r\n') : text;
  return { text: lines, result };
}

/** The module, which is loaded when it is needed. */
type Yaml = typeof yamlModule;
/** A list of entries, `{name, context: {…}}` or `{name, user: {…}}`. */
interface List {
  readonly list: 'contexts' | 'users';
  readonly key: 'context' | 'user';
}
const contextList: List = { list: 'contexts', key: 'context' };
const userList: List = { list: 'users', key: 'user' };

interface Entry {
  readonly name: string;
  readonly item: Node;
  readonly map: YAMLMap;
  /** What stands below the second key; made when it is missing. */
  body(): YAMLMap;
  remove(): void;
}

function createEditor(document: Document, yaml: Yaml): ContextEditor {
  const names = (): readonly string[] => entriesOf(document, yaml, contextList).map(({ name }) => name);
  const known = (name: string): Entry => {
    const entry = find(document, yaml, contextList, name);
    if (entry !== undefined) return entry;
    throw contextUnknown(name, names());
  };
  const current = (): string | undefined => textAt(document, yaml, 'current-context');
  const userOf = (entry: Entry): string | undefined => {
    const body = entry.body();
    const merged = resolved(document, yaml, body.get('<<', true));
    return textAt(body, yaml, 'user') ?? (yaml.isMap(merged) ? textAt(merged, yaml, 'user') : undefined);
  };
  return {
    current,
    use: (name) => {
      known(name);
      put(document, yaml, 'current-context', name);
    },
    set: (name, values) => {
      for (const text of [name, values.organization, values.user]) if (text !== undefined) checkName(text);
      const found = find(document, yaml, contextList, name);
      const entry = found ?? add(document, yaml, contextList, name);
      const body = entry.body();
      const user = values.user ?? userOf(entry) ?? name;
      // Other programs that read this file want an address in it.
      const url = values.url ?? (found === undefined ? options.controlPlaneUrl.default : undefined);
      if (url !== undefined) put(body, yaml, 'api-url', url);
      if (values.organization !== undefined) put(body, yaml, 'organization', values.organization);
      if (values.user !== undefined || values.token !== undefined) put(body, yaml, 'user', user);
      if (values.usesV1Api !== undefined) put(body, yaml, 'use-v1-api', values.usesV1Api);
      if (values.token !== undefined) {
        const owner = find(document, yaml, userList, user) ?? add(document, yaml, userList, user);
        put(owner.body(), yaml, 'token', values.token);
      }
      return { isNew: found === undefined, user };
    },
    remove: (name) => {
      known(name).remove();
      const wasCurrent = current() === name;
      if (wasCurrent) put(document, yaml, 'current-context', '');
      return { wasCurrent };
    },
    rename: (from, to) => {
      checkName(to);
      const entry = known(from);
      if (names().includes(to)) throw contextExists(to);
      put(entry.map, yaml, 'name', to);
      if (current() === from) put(document, yaml, 'current-context', to);
    },
    removeToken: (name) => {
      const user = userOf(known(name));
      const body = user === undefined ? undefined : find(document, yaml, userList, user)?.body();
      return body !== undefined && textAt(body, yaml, 'token') !== undefined && body.delete('token');
    },
  };
}

/** As long as a name is on one line of a terminal that is wide. */
const nameCharactersMax = 200;

function checkName(text: string): void {
  if (!/\p{Cc}/u.test(text) && text.length <= nameCharactersMax) return;
  throw new KubiyaError(`a name has a control character or more than ${nameCharactersMax} characters`, {
    kind: 'usage',
    code: 'argument_invalid',
    hint: 'take a shorter one without line breaks',
  });
}

export function contextUnknown(name: string, names: readonly string[]): KubiyaError {
  return new KubiyaError(`there is no context "${name}"`, {
    kind: 'configuration',
    code: 'context_unknown',
    hint:
      names.length === 0
        ? 'create it with `kubiya config set-context` or `kubiya login`'
        : `the contexts are ${names.join(', ')}`,
  });
}

function contextExists(name: string): KubiyaError {
  return new KubiyaError(`there is a context "${name}" already`, {
    kind: 'usage',
    code: 'context_exists',
    hint: `take another name, or remove it first with \`kubiya config delete-context ${name}\``,
  });
}

function entriesOf(document: Document, yaml: Yaml, { list, key }: List): readonly Entry[] {
  const sequence = resolved(document, yaml, document.get(list, true));
  if (!yaml.isSeq(sequence)) return [];
  return sequence.items.flatMap((item): Entry[] => {
    const map = resolved(document, yaml, item);
    if (!yaml.isMap(map) || !yaml.isNode(item)) return [];
    return [
      {
        name: textAt(map, yaml, 'name') ?? '',
        item,
        map,
        body: () => {
          const body = resolved(document, yaml, map.get(key, true));
          if (yaml.isMap(body)) return body;
          const made = document.createNode({});
          map.set(key, made);
          return made;
        },
        remove: () => void sequence.items.splice(sequence.items.indexOf(item), 1),
      },
    ];
  });
}

/** The entry, which shares nothing with other places any more. */
function find(document: Document, yaml: Yaml, list: List, name: string): Entry | undefined {
  const named = (): Entry | undefined => entriesOf(document, yaml, list).find((entry) => entry.name === name);
  const entry = named();
  if (entry !== undefined) endSharing(document, yaml, entry.item);
  return named();
}

/** Puts a copy in the place of every alias in the node and of every alias of something in it. */
function endSharing(document: Document, yaml: Yaml, node: Node): void {
  const own = new Set<unknown>();
  yaml.visit(node, { Node: (_key, part) => void own.add(part) });
  yaml.visit(document, {
    Alias: (_key, alias) => {
      const target = alias.resolve(document);
      if (target === undefined || !(own.has(alias) || own.has(target))) return undefined;
      const copy = target.clone() as Node;
      yaml.visit(copy, {
        Node: (_place, part) => {
          own.add(part);
          if (!yaml.isAlias(part)) delete part.anchor;
        },
      });
      return copy;
    },
  });
}

function add(document: Document, yaml: Yaml, { list, key }: List, name: string): Entry {
  let sequence = resolved(document, yaml, document.get(list, true));
  if (!yaml.isSeq(sequence)) {
    const made: YAMLSeq = document.createNode([]);
    document.set(list, made);
    sequence = made;
  }
  if (yaml.isSeq(sequence)) {
    // An empty list has to be written as `[]`, and would go on in that style.
    if (sequence.items.length === 0) sequence.flow = false;
    sequence.items.push(document.createNode({ name: quoted(yaml, name), [key]: {} }));
  }
  const entry = entriesOf(document, yaml, { list, key }).at(-1);
  if (entry === undefined) throw new Error(`${list} has no entry after one was added`);
  const body = entry.body();
  body.flow = false;
  return entry;
}

/** A new value in the place of the old one, whose comment stays. */
function put(target: Document | YAMLMap, yaml: Yaml, key: string, value: string | boolean): void {
  const node = target.get(key, true);
  const made = typeof value === 'boolean' ? new yaml.Scalar(String(value)) : quoted(yaml, value);
  if (!yaml.isScalar(node)) return target.set(key, made);
  node.value = made.value;
  if (made.type !== undefined) node.type = made.type;
}

/** In quotes where a program would take the plain text for something else: null, a number, a truth. */
function quoted(yaml: Yaml, text: string): Scalar<string> {
  const scalar = new yaml.Scalar(text);
  if (yaml.stringify(text, { lineWidth: 0 }).trimEnd() !== text) scalar.type = 'QUOTE_DOUBLE';
  return scalar;
}

/** An empty text counts as absent, and so do YAML's words for nothing. */
function textAt(target: Document | YAMLMap, yaml: Yaml, key: string): string | undefined {
  const node = target.get(key, true);
  if (!yaml.isScalar(node) || typeof node.value !== 'string') return undefined;
  const isNothing = node.type === 'PLAIN' && /^(?:~|null|Null|NULL|)$/.test(node.value);
  return isNothing || node.value === '' ? undefined : node.value;
}

function resolved(document: Document, yaml: Yaml, node: unknown): Node | undefined {
  if (yaml.isAlias(node)) return node.resolve(document);
  return yaml.isNode(node) ? node : undefined;
}
