// Commands that run another command given in their own words (`sudo`, `xargs`, `sh -c` …): where that command begins.
import type { Word } from './shell-syntax.ts';

/** What a wrapper runs: the words of a command, or text for a shell. */
export type Wrapped =
  | { readonly kind: 'words'; readonly words: readonly Word[] }
  | { readonly kind: 'script'; readonly script: Word }
  /** It runs something that its words do not show. */
  | { readonly kind: 'unknown'; readonly reason: string };

interface WrapperSyntax {
  /** One-letter options that stand alone, and those that take a value. */
  readonly flags?: string;
  readonly valued?: string;
  readonly longFlags?: readonly string[];
  readonly longValued?: readonly string[];
  /** Operands before the command (`timeout 5 …`). */
  readonly operands?: number;
  /** `NAME=value` words before the command. */
  readonly hasAssignments?: boolean;
}

const sudo: WrapperSyntax = {
  flags: 'nEHSbkKPAB',
  valued: 'ugCpDhTUrt',
  longFlags: ['non-interactive', 'preserve-env', 'set-home', 'stdin', 'background', 'reset-timestamp'],
  longValued: ['user', 'group', 'chdir', 'prompt', 'host', 'close-from', 'preserve-env'],
  hasAssignments: true,
};

const wrappers: Readonly<Record<string, WrapperSyntax>> = {
  sudo,
  doas: { flags: 'nL', valued: 'uCa' },
  env: {
    flags: 'i0v',
    valued: 'uC',
    longFlags: ['ignore-environment', 'null', 'debug'],
    longValued: ['unset', 'chdir'],
    hasAssignments: true,
  },
  nohup: {},
  setsid: { flags: 'cfw', longFlags: ['ctty', 'fork', 'wait'] },
  timeout: {
    flags: 'v',
    valued: 'ks',
    longFlags: ['preserve-status', 'foreground', 'verbose'],
    longValued: ['kill-after', 'signal'],
    operands: 1,
  },
  time: {
    flags: 'apvq',
    valued: 'fo',
    longFlags: ['append', 'portability', 'verbose'],
    longValued: ['format', 'output'],
  },
  nice: { flags: '0123456789', valued: 'n', longValued: ['adjustment'] },
  ionice: { flags: 't', valued: 'cn', longValued: ['class', 'classdata'] },
  stdbuf: { valued: 'ioe', longValued: ['input', 'output', 'error'] },
  xargs: {
    flags: '0rtpx',
    valued: 'EILnPsad',
    // The last three take a value only behind `=`.
    longFlags: ['null', 'no-run-if-empty', 'verbose', 'interactive', 'exit', 'open-tty', 'replace', 'max-lines', 'eof'],
    longValued: ['replace', 'max-lines', 'max-args', 'max-procs', 'max-chars', 'arg-file', 'delimiter', 'eof'],
  },
  exec: { flags: 'cl', valued: 'a' },
  command: { flags: 'pvV' },
  builtin: {},
  busybox: {},
  toybox: {},
};

/** They run a command too, but their options differ too much between systems to be read here. */
export const launchers: ReadonlySet<string> = new Set(
  [
    'chroot setpriv unshare nsenter taskset chrt numactl prlimit setarch linux32 linux64 cgexec capsh runcon',
    'su sg runuser pkexec systemd-run start-stop-daemon daemonize firejail bwrap proot fakeroot fakechroot',
    'flock watch script unbuffer expect entr strace ltrace valgrind gdb screen tmux at batch xvfb-run dbus-run-session',
  ].flatMap((line) => line.split(' ')),
);

const shells: ReadonlySet<string> = new Set(['sh', 'bash', 'dash', 'ash', 'zsh', 'ksh', 'mksh', 'fish', 'rbash']);

/** What `words` would run besides its own first word; null when it is no wrapper or runs nothing. */
export function unwrap(name: string, words: readonly Word[]): readonly Wrapped[] {
  if (shells.has(name)) return unwrapShell(words);
  if (name === 'command' && /^-p?[vV]/.test(words[1]?.text ?? '')) return [];
  if (name === 'find') return unwrapFind(words);
  if (name === 'eval') return unwrapEval(words);
  const syntax = Object.hasOwn(wrappers, name) ? wrappers[name] : undefined;
  if (syntax === undefined) return [];
  const rest = skipOptions(name, syntax, words);
  if (!Array.isArray(rest)) return [rest];
  if (name === 'xargs') return [unwrapXargs(words, rest)];
  return rest.length === 0 ? [] : [{ kind: 'words', words: rest }];
}

type Unknown = Extract<Wrapped, { kind: 'unknown' }>;

function skipOptions(name: string, syntax: WrapperSyntax, words: readonly Word[]): Word[] | Unknown {
  let at = 1;
  for (; at < words.length; at += 1) {
    const word = words[at];
    if (word === undefined || !word.text.startsWith('-') || word.text === '-') break;
    if (word.text === '--') {
      at += 1;
      break;
    }
    const width = word.hasExpansion ? null : optionWidth(syntax, word.text);
    if (width === null) return { kind: 'unknown', reason: `${name} has the option ${word.text}` };
    at += width - 1;
  }
  if (syntax.hasAssignments === true) while (words[at]?.text.includes('=') === true) at += 1;
  return words.slice(at + (syntax.operands ?? 0));
}

/** How many words an option takes; null when it is not in the table. */
function optionWidth(syntax: WrapperSyntax, option: string): 1 | 2 | null {
  if (option.startsWith('--')) {
    const [longName = '', value] = option.slice(2).split('=', 2);
    if (value === undefined && syntax.longFlags?.includes(longName) === true) return 1;
    if (syntax.longValued?.includes(longName) !== true) return null;
    return value === undefined ? 2 : 1;
  }
  for (let index = 1; index < option.length; index += 1) {
    const letter = option.charAt(index);
    if (syntax.valued?.includes(letter) === true) return index === option.length - 1 ? 2 : 1;
    if (syntax.flags?.includes(letter) !== true) return null;
  }
  return 1;
}

/** xargs adds words from its input, or puts them in the place of a marker. */
function unwrapXargs(words: readonly Word[], rest: readonly Word[]): Wrapped {
  if (rest.length === 0) return { kind: 'words', words: [literal('echo')] };
  const options = words.slice(1, words.length - rest.length).map((word) => word.text);
  const fromInput: Word = { text: '', hasExpansion: true, hasPattern: false, isQuoted: false };
  const markers = options.flatMap((option, at) => {
    const short = /^-[0rtpx]*I(.*)$/s.exec(option)?.[1];
    if (short !== undefined) return [short === '' ? (options[at + 1] ?? '') : short];
    return option.startsWith('--replace') ? [option.split('=')[1] ?? '{}'] : [];
  });
  if (markers.length === 0) return { kind: 'words', words: [...rest, fromInput] };
  const isReplaced = (word: Word): boolean => markers.some((marker) => word.text.includes(marker));
  return { kind: 'words', words: rest.map((word) => (isReplaced(word) ? computed(word) : word)) };
}

function unwrapFind(words: readonly Word[]): Wrapped[] {
  const found: Wrapped[] = [];
  words.forEach((word, at) => {
    if (!/^-(exec|execdir|ok|okdir)$/.test(word.text)) return;
    const rest = words.slice(at + 1);
    const end = rest.findIndex((item) => item.text === ';' || item.text === '+');
    const inner = (end === -1 ? rest : rest.slice(0, end)).map((item) =>
      item.text.includes('{}') ? computed(item) : item,
    );
    if (inner.length > 0) found.push({ kind: 'words', words: inner });
  });
  return found;
}

function unwrapEval(words: readonly Word[]): Wrapped[] {
  if (words.slice(1).some((word) => word.hasExpansion || word.hasPattern)) {
    return [{ kind: 'unknown', reason: 'eval runs text that is computed' }];
  }
  const script = words.slice(1).map((word) => word.text);
  return [{ kind: 'script', script: literal(script.join(' ')) }];
}

/** `sh script` is judged by its name only; `sh` alone reads commands from its input. */
function unwrapShell(words: readonly Word[]): readonly Wrapped[] {
  for (let at = 1; at < words.length; at += 1) {
    const word = words[at];
    if (word === undefined) break;
    if (word.hasExpansion) return [{ kind: 'unknown', reason: 'a shell has computed options' }];
    if (/^-[a-zA-Z]*c[a-zA-Z]*$/.test(word.text)) {
      const script = words.slice(at + 1).find((item) => item.hasExpansion || !/^[-+]/.test(item.text));
      if (script !== undefined) return [{ kind: 'script', script }];
      return [{ kind: 'unknown', reason: 'a shell runs text that is not in the command' }];
    }
    if (/^-[a-zA-Z]*s/.test(word.text)) break;
    // Which of them take a value differs between shells.
    if (/^[-+](o|O|-)/.test(word.text)) return [{ kind: 'unknown', reason: `a shell has the option ${word.text}` }];
    if (!/^[-+]/.test(word.text)) return [];
  }
  return [{ kind: 'unknown', reason: 'a shell reads its commands from its input' }];
}

function literal(text: string): Word {
  return { text, hasExpansion: false, hasPattern: false, isQuoted: true };
}

function computed(word: Word): Word {
  return { ...word, hasExpansion: true };
}
