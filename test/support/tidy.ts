// Checks a tree of source files against test/support/tidy-rules.ts, without reading the disk.
import { posix } from 'node:path';
import { type Comment, type Node, parseSync, type Program } from 'oxc-parser';
import { areas, type Area, doors, fileLinesMax, functionLinesMax, lists } from './tidy-rules.ts';

/** Path from the root of the repository → text. */
export type Tree = ReadonlyMap<string, string>;

interface Import {
  readonly specifier: string;
  /** `type` vanishes when compiled, `lazy` is an `import()`. */
  readonly kind: 'value' | 'type' | 'lazy';
  /** Names it takes, for `import { exit } from 'node:process'`. */
  readonly names: readonly string[];
  readonly at: number;
}

interface Parsed {
  readonly path: string;
  readonly text: string;
  readonly program: Program;
  readonly comments: readonly Comment[];
  readonly imports: readonly Import[];
  /** `process.exit`, `console.log`, `process.on(SIGTERM)`: members and calls of globals, with where they stand. */
  readonly members: readonly { readonly name: string; readonly at: number }[];
}

/** Every violation as `path:line: sentence`. */
export function checkTree(tree: Tree): string[] {
  const files = [...tree].filter(([path]) => path.endsWith('.ts')).map(([path, text]) => parse(path, text));
  const byPath = new Map(files.map((file) => [file.path, file]));
  const names = [...tree.keys()].filter(
    (path) => !/^([a-z0-9]+(-[a-z0-9]+)*|ARCHITECTURE)(\.[a-z]+)+$/.test(posix.basename(path)),
  );
  return [
    ...names.map((path) => `${path}:1: file names are in kebab-case`),
    ...files.flatMap((file) => [...checkShape(file), ...checkImports(file, byPath), ...checkDoors(file)]),
  ];
}

function checkShape(file: Parsed): string[] {
  const found: string[] = [];
  const report = (at: number, sentence: string): void =>
    void found.push(`${file.path}:${lineAt(file.text, at)}: ${sentence}`);
  const head = headComment(file);
  if (!/^[A-Z`'"].{15,}\.$/s.test(head)) report(0, 'a file opens with one sentence that says what it is for');
  const lines = file.text.trimEnd().split('\n').length;
  if (lines > fileLinesMax && !/one file because/i.test(head)) {
    report(0, `${lines} lines: over ${fileLinesMax} the opening comment says "One file because …"`);
  }
  for (const comment of file.comments) {
    if (/\b(TODO|FIXME|XXX)\b|coming soon/i.test(comment.value))
      report(comment.start, 'what is to be done is done, or is an issue');
  }
  const { body } = file.program;
  const passesOn = body.every((node) => 'source' in node && node.source !== null);
  if (passesOn && body.some((node) => node.type.startsWith('Export')) && !lists.includes(file.path)) {
    report(0, 'a barrel file: import from where the thing is');
  }
  walk(file.program, (node) => {
    if (isFunction(node) && !file.path.startsWith('test/')) {
      const length = lineAt(file.text, node.end) - lineAt(file.text, node.start) + 1;
      if (length > functionLinesMax)
        report(node.start, `a function of ${length} lines; ${functionLinesMax} fit a screen`);
    }
    if (node.type === 'TSAnyKeyword') report(node.start, '`any` switches the compiler off');
    if (node.type === 'TSNonNullExpression') report(node.start, 'a non-null `!` is an unchecked claim');
    if (node.type === 'TSEnumDeclaration') report(node.start, 'an enum: use a closed union');
    if (node.type === 'Decorator') report(node.start, 'a decorator: call a function');
    if (node.type === 'ExportDefaultDeclaration' && !file.path.startsWith('src/cli/commands/')) {
      report(node.start, 'a default export: only citty commands have one');
    }
  });
  return found;
}

function checkImports(file: Parsed, byPath: ReadonlyMap<string, Parsed>): string[] {
  const found: string[] = [];
  const report = (at: number, sentence: string): void =>
    void found.push(`${file.path}:${lineAt(file.text, at)}: ${sentence}`);
  const own = areaOf(file.path);
  if (file.path.startsWith('src/') && own === undefined) report(0, 'this folder is not in the import table');
  for (const { specifier, kind, at } of file.imports) {
    if (kind === 'lazy' && specifier === '' && file.path.startsWith('src/'))
      report(at, '`import()` of a computed name is not in the binary');
    if (!specifier.startsWith('.')) continue;
    if (!/\.(ts|txt|json|md|css|html)$/.test(specifier))
      report(at, `${specifier}: relative imports carry their extension`);
    const other = areaOf(resolve(file.path, specifier));
    if (own === undefined) continue;
    if (other === undefined) report(at, `${specifier} is outside src`);
    else if (!mayImport(own, other, kind))
      report(at, `${own.name} may not import ${kindWords[kind]}${other.name}: ${own.area.reason}`);
  }
  if (own?.area.isPure === true) {
    for (const path of reachable(file, byPath)) report(0, `reaches ${path}: ${own.area.reason}`);
  }
  return found;
}

const kindWords = { value: '', type: 'types of ', lazy: '' } as const;

interface NamedArea {
  readonly name: string;
  readonly area: Area;
}

function mayImport(own: NamedArea, other: NamedArea, kind: Import['kind']): boolean {
  if (own.name === other.name || own.area.may.includes(other.name)) return true;
  if (kind === 'type') return [...(own.area.types ?? []), ...(own.area.lazy ?? [])].includes(other.name);
  return kind === 'lazy' && (own.area.lazy ?? []).includes(other.name);
}

/** Modules of Node and Bun that `file` reaches through values, as `lib/spawn.ts → node:fs`. */
function reachable(file: Parsed, byPath: ReadonlyMap<string, Parsed>): string[] {
  const found: string[] = [];
  const visited = new Set<string>();
  const queue = [file];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (visited.has(next.path)) continue;
    visited.add(next.path);
    for (const { specifier, kind } of next.imports) {
      if (kind === 'type') continue;
      if (/^(node:|bun$|bun:)/.test(specifier)) found.push(`${next.path} → ${specifier}`);
      const target = specifier.startsWith('.') ? byPath.get(resolve(next.path, specifier)) : undefined;
      if (target !== undefined) queue.push(target);
    }
  }
  return found;
}

function checkDoors(file: Parsed): string[] {
  if (!file.path.startsWith('src/')) return [];
  const path = file.path.slice('src/'.length);
  const used = [...file.members, ...file.imports.flatMap((entry) => namesOfImport(file.path, entry))];
  return doors
    .filter((door) => !door.allowed.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place)))
    .flatMap((door) =>
      used
        .filter(({ name }) => door.names.some((pattern) => matches(pattern, name)))
        .map(
          ({ name, at }) =>
            `${file.path}:${lineAt(file.text, at)}: ${name} is only for ${door.allowed.join(', ')}: ${door.reason}`,
        ),
    );
}

function matches(pattern: string, name: string): boolean {
  if (pattern === name) return true;
  if (pattern.endsWith('(SIG*)'))
    return name.startsWith(pattern.slice(0, -'SIG*)'.length)) && /\((SIG.*|\?)\)$/.test(name);
  if (pattern.endsWith('.*')) return name.startsWith(pattern.slice(0, -1));
  // `@temporalio/` and `bun:` stand for everything below them; the workflow package has a door of its own.
  return /[/:]$/.test(pattern) && name.startsWith(pattern) && name !== '@temporalio/workflow';
}

/** An import as door names: the module, the file of ours it means, and members taken out of `node:process`. */
function namesOfImport(path: string, entry: Import): { name: string; at: number }[] {
  const { specifier, names, at, kind } = entry;
  if (specifier.startsWith('.')) {
    return kind === 'type' ? [] : [{ name: `src:${resolve(path, specifier).slice('src/'.length)}`, at }];
  }
  const bare = specifier.replace(/^node:/, '');
  const members = bare === 'process' || bare === 'console' || bare === 'bun' ? names : [];
  return [
    { name: specifier, at },
    ...members.map((name) => ({ name: `${bare === 'bun' ? 'Bun' : bare}.${name}`, at })),
  ];
}

function parse(path: string, text: string): Parsed {
  const { program, comments, module, errors } = parseSync(path, text);
  const [error] = errors;
  if (error !== undefined) throw new Error(`${path}: ${error.message}`);
  const imports: Import[] = [
    ...module.staticImports.map((entry) => ({
      specifier: entry.moduleRequest.value,
      kind:
        entry.entries.length > 0 && entry.entries.every((name) => name.isType) ? ('type' as const) : ('value' as const),
      names: entry.entries.map((name) => name.importName.name ?? '*'),
      at: entry.start,
    })),
    ...module.staticExports.flatMap((entry) => {
      const [first] = entry.entries;
      if (first === undefined || first.moduleRequest === null) return [];
      const kind = entry.entries.every((name) => name.isType) ? ('type' as const) : ('value' as const);
      return [{ specifier: first.moduleRequest.value, kind, names: [], at: entry.start }];
    }),
  ];
  const members: { name: string; at: number }[] = [];
  walk(program, (node) => {
    if (node.type === 'ImportExpression') {
      const specifier =
        node.source.type === 'Literal' && typeof node.source.value === 'string' ? node.source.value : '';
      imports.push({ specifier, kind: 'lazy', names: [], at: node.start });
    }
    if (node.type === 'TSImportType')
      imports.push({ specifier: node.source.value, kind: 'type', names: [], at: node.start });
    const member = memberName(node);
    if (member !== undefined) members.push({ name: member, at: node.start });
  });
  return { path, text, program, comments, imports, members };
}

/** `process.exit`, `globalThis.process.exit` and `process['exit']` as `process.exit`; a call's first argument in brackets for handlers. */
function memberName(node: Node): string | undefined {
  if (node.type === 'CallExpression') {
    const callee = memberName(node.callee);
    if (callee === undefined || !/^process\.(on|once|addListener)$/.test(callee)) return undefined;
    const [event] = node.arguments;
    return `${callee}(${event?.type === 'Literal' ? String(event.value) : '?'})`;
  }
  if (node.type === 'VariableDeclarator' && node.id.type === 'ObjectPattern' && node.init?.type === 'Identifier') {
    // `const { exit } = process` takes a member too; the first is enough to be seen.
    const [property] = node.id.properties;
    const key = property?.type === 'Property' && property.key.type === 'Identifier' ? property.key.name : '*';
    return `${node.init.name}.${key}`;
  }
  if (node.type !== 'MemberExpression') return undefined;
  const object =
    node.object.type === 'Identifier' ? node.object.name : memberName(node.object)?.replace(/^globalThis\./, '');
  if (object === undefined) return undefined;
  if (!node.computed && node.property.type === 'Identifier') return `${object}.${node.property.name}`;
  return node.property.type === 'Literal' ? `${object}.${String(node.property.value)}` : undefined;
}

function areaOf(path: string): NamedArea | undefined {
  if (!path.startsWith('src/')) return undefined;
  const parts = path.slice('src/'.length).replace(/\.ts$/, '').split('/');
  for (let length = parts.length; length > 0; length--) {
    const name = parts.slice(0, length).join('/');
    const area = Object.hasOwn(areas, name) ? areas[name] : undefined;
    if (area !== undefined) return { name, area };
  }
  return undefined;
}

function resolve(from: string, specifier: string): string {
  return posix.join(posix.dirname(from), specifier);
}

function isFunction(node: Node): boolean {
  return (
    node.type === 'FunctionDeclaration' || node.type === 'FunctionExpression' || node.type === 'ArrowFunctionExpression'
  );
}

function headComment({ text, comments }: Parsed): string {
  const start = text.startsWith('#!') ? text.indexOf('\n') + 1 : 0;
  const lines: string[] = [];
  let end = start;
  for (const comment of comments) {
    if (text.slice(end, comment.start).trim() !== '' || text.slice(end, comment.start).includes('\n\n')) break;
    lines.push(comment.value.replaceAll(/^\s*\*?/gm, '').trim());
    end = comment.end;
    if (comment.type === 'Block') break;
  }
  return lines.join(' ');
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

/** Calls `visit` for every node below `root`, parents first. */
function walk(root: Node, visit: (node: Node) => void): void {
  visit(root);
  for (const value of Object.values(root)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) walk(child, visit);
  }
}

function isNode(value: unknown): value is Node {
  return (
    typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' && 'start' in value
  );
}
