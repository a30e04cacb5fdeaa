// Changes the context file as a document, so that comments and keys of other programs stay as they are.
import type * as yamlModule from 'yaml';
import type { Document, Node, YAMLMap, YAMLSeq } from 'yaml';
import { KubiyaError } from '../errors.ts';
import { fileError, parseDocument } from './context-file.ts';
import { options } from './options.ts';

/** What a change may do; every name is that of a context unless it says otherwise. */
export interface ContextEditor {
  current(): string | undefined;
  use(name: string): void;
  /** Creates the context where there is none; what is undefined stays as it is. */
  set(name: string, values: ContextValues): { readonly isNew: boolean; readonly user: string };
  /** True when it was the current one, of which there is none afterwards. */
  remove(name: string): { readonly wasCurrent: boolean; readonly user: string | undefined };
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
  const parsed = await parseDocument(path, source, 'failsafe');
  if (!parsed.ok) throw fileError(parsed.problems);
  const { document } = parsed.value;
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
/** An entry of a list, `{name, context: {…}}` or `{name, user: {…}}`. */
interface Entry {
  readonly name: string;
  readonly map: YAMLMap;
  /** What stands below the second key; made when it is missing. */
  body(): YAMLMap;
  remove(): void;
}

function createEditor(document: Document, yaml: Yaml): ContextEditor {
  const contexts = (): readonly Entry[] => entriesOf(document, yaml, 'contexts', 'context');
  const users = (): readonly Entry[] => entriesOf(document, yaml, 'users', 'user');
  const known = (name: string): Entry => {
    const entry = contexts().find((candidate) => candidate.name === name);
    if (entry !== undefined) return entry;
    throw contextUnknown(
      name,
      contexts().map((context) => context.name),
    );
  };
  const current = (): string | undefined => textAt(document, yaml, 'current-context');
  const userOf = (entry: Entry): string | undefined => textAt(entry.body(), yaml, 'user');
  return {
    current,
    use: (name) => {
      known(name);
      put(document, yaml, 'current-context', name);
    },
    set: (name, values) => {
      const found = contexts().find((candidate) => candidate.name === name);
      const entry = found ?? add(document, yaml, { list: 'contexts', name, key: 'context' });
      const body = entry.body();
      const user = values.user ?? userOf(entry) ?? name;
      // Other programs that read this file want an address in it.
      const url = values.url ?? (found === undefined ? options.controlPlaneUrl.default : undefined);
      if (url !== undefined) put(body, yaml, 'api-url', url);
      if (values.organization !== undefined) put(body, yaml, 'organization', values.organization);
      if (values.user !== undefined || values.token !== undefined) put(body, yaml, 'user', user);
      if (values.usesV1Api !== undefined) put(body, yaml, 'use-v1-api', String(values.usesV1Api));
      if (values.token !== undefined) {
        const owner =
          users().find((candidate) => candidate.name === user) ??
          add(document, yaml, { list: 'users', name: user, key: 'user' });
        put(owner.body(), yaml, 'token', values.token);
      }
      return { isNew: found === undefined, user };
    },
    remove: (name) => {
      const entry = known(name);
      const user = userOf(entry);
      entry.remove();
      const wasCurrent = current() === name;
      if (wasCurrent) put(document, yaml, 'current-context', '');
      return { wasCurrent, user };
    },
    rename: (from, to) => {
      const entry = known(from);
      if (contexts().some((candidate) => candidate.name === to)) throw contextExists(to);
      put(entry.map, yaml, 'name', to);
      if (current() === from) put(document, yaml, 'current-context', to);
    },
    removeToken: (name) => {
      const user = userOf(known(name));
      const body = users()
        .find((candidate) => candidate.name === user)
        ?.body();
      return body !== undefined && textAt(body, yaml, 'token') !== undefined && body.delete('token');
    },
  };
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

function entriesOf(document: Document, yaml: Yaml, list: 'contexts' | 'users', key: string): readonly Entry[] {
  const sequence = resolved(document, yaml, document.get(list, true));
  if (!yaml.isSeq(sequence)) return [];
  return sequence.items.flatMap((item): Entry[] => {
    const map = resolved(document, yaml, item);
    if (!yaml.isMap(map)) return [];
    return [
      {
        name: textAt(map, yaml, 'name') ?? '',
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

interface NewEntry {
  readonly list: 'contexts' | 'users';
  readonly name: string;
  readonly key: string;
}

function add(document: Document, yaml: Yaml, { list, name, key }: NewEntry): Entry {
  let sequence = resolved(document, yaml, document.get(list, true));
  if (!yaml.isSeq(sequence)) {
    const made: YAMLSeq = document.createNode([]);
    document.set(list, made);
    sequence = made;
  }
  if (yaml.isSeq(sequence)) {
    // An empty list has to be written as `[]`, and would go on in that style.
    if (sequence.items.length === 0) sequence.flow = false;
    sequence.items.push(document.createNode({ name, [key]: {} }));
  }
  const entry = entriesOf(document, yaml, list, key).at(-1);
  if (entry === undefined) throw new Error(`${list} has no entry after one was added`);
  const body = entry.body();
  body.flow = false;
  return entry;
}

/** A new value in the place of the old one, whose comment stays. */
function put(target: Document | YAMLMap, yaml: Yaml, key: string, value: string): void {
  const node = target.get(key, true);
  if (yaml.isScalar(node)) node.value = value;
  else target.set(key, value);
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
