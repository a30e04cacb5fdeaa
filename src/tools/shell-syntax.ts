// Reads a POSIX shell command line into its simple commands, so that a policy judges words and not substrings.
// It is stricter than a shell: where sh and bash read a text differently, or where only running it would tell, it refuses.
// One file because the functions of a grammar call each other in circles.

export interface Word {
  /** What the word says literally; expansions contribute nothing. */
  readonly text: string;
  /** `$x`, `$(…)`, backticks, braces: the word is only known when it runs. */
  readonly hasExpansion: boolean;
  /** An unquoted `*`, `?` or `[`. */
  readonly hasPattern: boolean;
  readonly isQuoted: boolean;
}

interface Redirect {
  /** `>`, `>>`, `2>&1` gives `>&`, … */
  readonly operator: string;
  readonly target: Word;
}

export interface SimpleCommand {
  readonly words: readonly Word[];
  readonly redirects: readonly Redirect[];
  /** Names given a value by `NAME=…` before the words, by `for NAME` or by `${NAME=…}`. */
  readonly assignedNames: readonly string[];
}

export type ShellParse =
  | { readonly ok: true; readonly commands: readonly SimpleCommand[] }
  | { readonly ok: false; readonly reason: string };

/** A command line that needs more is a script, which belongs in a file. */
const commandCharactersMax = 100_000;
/** Deeper nesting than anyone writes by hand; keeps the recursion far from the end of the stack. */
const nestingMax = 30;

/** Every simple command in the text, those inside substitutions and here-documents included. */
export function parseShell(text: string): ShellParse {
  if (text.length > commandCharactersMax) return { ok: false, reason: 'it is too long' };
  if (text.includes('\0')) return { ok: false, reason: 'it contains a NUL byte' };
  // A shell removes backslash and newline even inside an operator or a keyword; that form has no honest use.
  if (/\S\\\n\S/.test(text)) return { ok: false, reason: 'it continues a line in the middle of a word' };
  const commands: SimpleCommand[] = [];
  try {
    parseList({ text, at: 0, depth: 0, commands, heredocs: [] }, 'end');
    return { ok: true, commands };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, reason: error.message };
    throw error;
  }
}

class Refusal extends Error {
  override readonly name = 'Refusal';
}

function refuse(reason: string): never {
  throw new Refusal(reason);
}

interface Heredoc {
  readonly delimiter: string;
  readonly isQuoted: boolean;
  readonly stripsTabs: boolean;
}

interface Scan {
  readonly text: string;
  readonly commands: SimpleCommand[];
  depth: number;
  at: number;
  heredocs: Heredoc[];
}

interface Draft {
  words: Word[];
  redirects: Redirect[];
  assignedNames: string[];
}

/** Keywords after which a command may begin; what they mean for control flow does not matter here. */
const transparentKeywords: ReadonlySet<string> = new Set([
  'if',
  'then',
  'elif',
  'else',
  'fi',
  'while',
  'until',
  'do',
  'done',
  '!',
  '{',
  '}',
  'time',
]);
const refusedKeywords: ReadonlySet<string> = new Set(['case', 'esac', 'select', 'function', 'coproc', '[[']);
const assignment = /^([A-Za-z_][A-Za-z0-9_]*)\+?=/;
/** `&>` is not among them: sh reads it as `&` and `>`, which is the reading that runs more commands. */
const redirectOperator = /[0-9]*(?:<<<|<<-|<<|<>|<&|>>|>\||>&|<(?!\()|>(?!\())/y;

function parseList(outer: Scan, end: 'end' | ')'): void {
  if (outer.depth > nestingMax) refuse('it is nested too deeply');
  if (outer.heredocs.length > 0) refuse('it has parentheses between a here-document and its text');
  const scan: Scan = { ...outer, depth: outer.depth + 1, heredocs: [] };
  let draft: Draft = { words: [], redirects: [], assignedNames: [] };
  const finish = (): void => {
    if (draft.words.length + draft.redirects.length + draft.assignedNames.length > 0) scan.commands.push(draft);
    draft = { words: [], redirects: [], assignedNames: [] };
  };
  for (;;) {
    skipBlanks(scan);
    const character = scan.text[scan.at];
    if (character === undefined || character === ')') {
      if ((character === undefined) !== (end === 'end')) refuse('its parentheses do not match');
      if (scan.heredocs.length > 0) refuse('a here-document has no end');
      finish();
      outer.at = scan.at + (end === 'end' ? 0 : 1);
      return;
    }
    if (character === '\n') {
      scan.at += 1;
      finish();
      readHeredocs(scan);
    } else if (character === '#') {
      while (scan.at < scan.text.length && scan.text[scan.at] !== '\n') scan.at += 1;
    } else if (readRedirect(scan, draft)) {
      continue;
    } else if (character === ';' || character === '&' || character === '|') {
      if (scan.text.startsWith(';;', scan.at)) refuse('it uses case');
      scan.at += 1;
      finish();
    } else if (character === '(') {
      if (draft.words.length + draft.assignedNames.length > 0) refuse('it defines a function or an array');
      if (scan.text[scan.at + 1] === '(') refuse('it uses an arithmetic command');
      scan.at += 1;
      parseList(scan, ')');
    } else {
      addWord(scan, draft);
    }
  }
}

function addWord(scan: Scan, draft: Draft): void {
  const word = readWord(scan, draft);
  const name = assignment.exec(word.text)?.[1];
  if (draft.words.length > 0) {
    draft.words.push(word);
  } else if (!word.isQuoted && !word.hasExpansion && refusedKeywords.has(word.text)) {
    refuse(`it uses ${word.text}`);
  } else if (!word.isQuoted && !word.hasExpansion && word.text === 'for') {
    readForHead(scan, draft);
  } else if (!word.isQuoted && !word.hasExpansion && transparentKeywords.has(word.text)) {
    if (word.text === 'time') skipTimeOption(scan);
  } else if (name !== undefined) {
    draft.assignedNames.push(name);
  } else {
    draft.words.push(word);
  }
}

function skipTimeOption(scan: Scan): void {
  skipBlanks(scan);
  const option = /-p(?=[ \t\n])/y;
  option.lastIndex = scan.at;
  if (option.test(scan.text)) scan.at += 2;
}

/** `for NAME [in words]`; the list that follows starts with `do`. */
function readForHead(scan: Scan, draft: Draft): void {
  skipBlanks(scan);
  const name = readWord(scan, draft);
  if (name.hasExpansion || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name.text))
    refuse('it has a for loop without a plain name');
  draft.assignedNames.push(name.text);
  while (/[ \t\n]/.test(scan.text[scan.at] ?? '')) scan.at += 1;
  const inKeyword = /in(?=[ \t\n;])/y;
  inKeyword.lastIndex = scan.at;
  if (!inKeyword.test(scan.text)) return;
  scan.at += 2;
  for (;;) {
    skipBlanks(scan);
    const character = scan.text[scan.at];
    if (character === ';' || character === '\n' || character === undefined) return;
    readWord(scan, draft);
  }
}

function readRedirect(scan: Scan, draft: Draft): boolean {
  redirectOperator.lastIndex = scan.at;
  const match = redirectOperator.exec(scan.text)?.[0];
  if (match === undefined) return false;
  scan.at += match.length;
  skipBlanks(scan);
  const operator = match.replace(/^[0-9]+/, '');
  const target = readWord(scan, draft);
  if (operator === '<<' || operator === '<<-') {
    if (target.hasExpansion || target.text === '') refuse('a here-document has a computed delimiter');
    scan.heredocs.push({ delimiter: target.text, isQuoted: target.isQuoted, stripsTabs: operator === '<<-' });
  }
  draft.redirects.push({ operator, target });
  return true;
}

function readHeredocs(scan: Scan): void {
  const pending = scan.heredocs;
  scan.heredocs = [];
  for (const heredoc of pending) {
    const body: string[] = [];
    for (;;) {
      if (scan.at >= scan.text.length) refuse('a here-document has no end');
      const newline = scan.text.indexOf('\n', scan.at);
      const lineEnd = newline === -1 ? scan.text.length : newline;
      const raw = scan.text.slice(scan.at, lineEnd);
      scan.at = lineEnd + 1;
      const line = heredoc.stripsTabs ? raw.replace(/^\t+/, '') : raw;
      if (line === heredoc.delimiter) break;
      // The shell would join such a line with the next, which may hide the delimiter from us.
      if (!heredoc.isQuoted && line.endsWith('\\')) refuse('a here-document continues a line with a backslash');
      body.push(line);
    }
    if (!heredoc.isQuoted) readExpansionsOf(scan, body.join('\n'));
  }
}

function readExpansionsOf(scan: Scan, text: string): void {
  const draft: Draft = { words: [], redirects: [], assignedNames: [] };
  const inner: Scan = { ...scan, text, at: 0 };
  const sink = newWord();
  while (inner.at < text.length) readQuotedCharacter(inner, sink, draft, { quoteEscapes: false });
  if (draft.assignedNames.length > 0) scan.commands.push(draft);
}

function skipBlanks(scan: Scan): void {
  for (;;) {
    const character = scan.text[scan.at];
    if (character === ' ' || character === '\t') scan.at += 1;
    else if (character === '\\' && scan.text[scan.at + 1] === '\n') scan.at += 2;
    else return;
  }
}

interface WordDraft {
  text: string;
  hasExpansion: boolean;
  hasBrace: boolean;
  hasPattern: boolean;
  isQuoted: boolean;
}

function newWord(): WordDraft {
  return { text: '', hasExpansion: false, hasBrace: false, hasPattern: false, isQuoted: false };
}

function readWord(scan: Scan, draft: Draft): Word {
  const word = newWord();
  const start = scan.at;
  for (;;) {
    const character = scan.text[scan.at];
    const isProcessSubstitution = (character === '<' || character === '>') && scan.text[scan.at + 1] === '(';
    if (isProcessSubstitution) {
      scan.at += 2;
      parseList(scan, ')');
      word.hasExpansion = true;
    } else if (character === undefined || ' \t\n;&|()<>'.includes(character)) {
      break;
    } else {
      readUnquoted(scan, word, draft, character);
    }
  }
  if (scan.at === start) refuse('a word is missing');
  if (word.text === '[') word.hasPattern = false;
  // `{a,b}` becomes several words in bash; `{` is a keyword and `{}` a placeholder of find and xargs.
  if (word.hasBrace && word.text !== '{' && word.text !== '{}') word.hasExpansion = true;
  // bash evaluates array subscripts of read, unset, printf -v and arithmetic again: `a[$(…)]` in quotes would run.
  if (/\[[^\]]*[$`]/.test(word.text)) refuse('it has quoted text that bash may evaluate as a subscript');
  return word;
}

function readUnquoted(scan: Scan, word: WordDraft, draft: Draft, character: string): void {
  scan.at += 1;
  switch (character) {
    case '\\': {
      const next = scan.text[scan.at] ?? '\\';
      scan.at += 1;
      if (next === '\n') return;
      word.text += next;
      word.isQuoted = true;
      return;
    }
    case "'": {
      const close = scan.text.indexOf("'", scan.at);
      if (close === -1) refuse('a quote is not closed');
      word.text += scan.text.slice(scan.at, close);
      word.isQuoted = true;
      scan.at = close + 1;
      return;
    }
    case '"':
      readDoubleQuoted(scan, word, draft);
      return;
    case '$':
      if (scan.text[scan.at] === "'") refuse("it uses $'…'");
      if (scan.text[scan.at] === '"') word.hasExpansion = true;
      else readDollar(scan, word, draft, { isInQuotes: false });
      return;
    case '`':
      readBackticks(scan);
      word.hasExpansion = true;
      return;
    case '{':
      word.hasBrace = true;
      word.text += character;
      return;
    default:
      if (character === '*' || character === '?' || character === '[') word.hasPattern = true;
      word.text += character;
  }
}

function readDoubleQuoted(scan: Scan, word: WordDraft, draft: Draft): void {
  word.isQuoted = true;
  while (scan.text[scan.at] !== '"') {
    if (scan.at >= scan.text.length) refuse('a quote is not closed');
    readQuotedCharacter(scan, word, draft, { quoteEscapes: true });
  }
  scan.at += 1;
}

/** One character between double quotes or of a here-document. */
function readQuotedCharacter(scan: Scan, word: WordDraft, draft: Draft, options: { quoteEscapes: boolean }): void {
  const character = scan.text[scan.at] ?? '';
  scan.at += 1;
  if (character === '\\') {
    const next = scan.text[scan.at] ?? '';
    const isEscape = next !== '' && (options.quoteEscapes ? '$`"\\\n' : '$`\\\n').includes(next);
    if (!isEscape) word.text += character;
    else if (next !== '\n') word.text += next;
    if (isEscape) scan.at += 1;
  } else if (character === '$') {
    readDollar(scan, word, draft, { isInQuotes: true });
  } else if (character === '`') {
    readBackticks(scan);
    word.hasExpansion = true;
  } else {
    word.text += character;
  }
}

/** After a `$`. */
function readDollar(scan: Scan, word: WordDraft, draft: Draft, options: { isInQuotes: boolean }): void {
  const rest = scan.text.slice(scan.at, scan.at + 2);
  if (rest === '((') {
    readArithmetic(scan);
  } else if (rest.startsWith('(')) {
    scan.at += 1;
    parseList(scan, ')');
  } else if (rest.startsWith('{')) {
    readBraced(scan, draft, options);
  } else if (rest.startsWith('[')) {
    refuse('it uses $[…]');
  } else {
    const name = /[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]/y;
    name.lastIndex = scan.at;
    const match = name.exec(scan.text)?.[0];
    if (match === undefined) {
      word.text += '$';
      return;
    }
    scan.at += match.length;
  }
  word.hasExpansion = true;
}

/** Names are refused: bash evaluates what a variable holds, which may be a command again. */
function readArithmetic(scan: Scan): void {
  const expression = /\(\(([\s0-9+\-*/%<>=!&|^~?:,]|\([\s0-9+\-*/%<>=!&|^~?:,]*\))*\)\)/y;
  expression.lastIndex = scan.at;
  const match = expression.exec(scan.text)?.[0];
  if (match === undefined) refuse('it has arithmetic with more than numbers');
  scan.at += match.length;
}

function readBraced(scan: Scan, draft: Draft, options: { isInQuotes: boolean }): void {
  const head = /\{(#?(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+)|[@*#?$!-])(:?[-=+?]|##?|%%?|\/\/?|\^\^?|,,?)?/y;
  head.lastIndex = scan.at;
  const match = head.exec(scan.text);
  if (match === null) refuse('it has a parameter expansion that is not plain');
  scan.at += match[0].length;
  if (match[2]?.includes('=') === true && match[1] !== undefined) draft.assignedNames.push(match[1]);
  if (match[2] === undefined && scan.text[scan.at] !== '}') refuse('it has a parameter expansion that is not plain');
  if (scan.depth > nestingMax) refuse('it is nested too deeply');
  scan.depth += 1;
  const inner = newWord();
  while (scan.text[scan.at] !== '}') {
    const character = scan.text[scan.at];
    if (character === undefined) refuse('a brace is not closed');
    // sh and bash disagree about single quotes in here.
    if (character === "'" && options.isInQuotes) refuse('it has quotes in a parameter expansion');
    if (character === '"' && options.isInQuotes) refuse('it has quotes in a parameter expansion');
    readUnquoted(scan, inner, draft, character);
  }
  scan.depth -= 1;
  scan.at += 1;
}

function readBackticks(scan: Scan): void {
  const close = scan.text.indexOf('`', scan.at);
  if (close === -1) refuse('a backtick is not closed');
  const inner = scan.text.slice(scan.at, close);
  // Shells disagree about which backslashes they remove here, and nesting needs them.
  if (inner.includes('\\')) refuse('it has a backslash between backticks');
  scan.at = close + 1;
  parseList({ ...scan, text: inner, at: 0 }, 'end');
}
