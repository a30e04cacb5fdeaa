// Which commands a shell may run: judged on the parsed command line, every command in it, wrappers and scripts included.
// It keeps a model to what it was told; it is not a sandbox: an allowed interpreter runs whatever its script says.
import { type Wrapped, launchers, unwrap } from './command-wrappers.ts';
import { matchName } from './glob.ts';
import { type SimpleCommand, type Word, parseShell } from './shell-syntax.ts';

export interface CommandPolicy {
  /** Names or starts of commands (`git status`, `kubectl *`, `/opt/tool/run`); undefined allows all. */
  readonly allowed?: readonly string[] | undefined;
  readonly blocked: readonly string[];
  /** Also refuses writing redirections and the arguments with which reading commands write or run something. */
  readonly isReadOnly: boolean;
}

export type Judgement = { readonly isAllowed: true } | { readonly isAllowed: false; readonly reason: string };

/** What changes or destroys more than a workspace; the block-list of the variant `safe_commands`. */
export const defaultBlockedCommands: readonly string[] = splitList(`
  rm, shred, dd, mkfs, mkfs.*, mkswap, fdisk, parted, wipefs, mount, umount, sudo, su, doas, chmod,
  chown, chgrp, chattr, setfacl, passwd, useradd, userdel, visudo, shutdown, reboot, halt, poweroff,
  init, telinit, kill, killall, pkill, crontab, iptables, nft, unlink, find -delete, git clean
`);

/** The allow-list of the variant `read_only`: commands that only read, wrappers that only run another command. */
export const readOnlyCommands: readonly string[] = splitList(`
  ls, cat, head, tail, grep, egrep, fgrep, rg, find, wc, sort, uniq, cut, tr, nl, tac, diff, cmp,
  comm, stat, file, du, df, tree, pwd, realpath, readlink, basename, dirname, echo, printf, test, [,
  date, whoami, id, groups, uname, uptime, ps, free, which, type, md5sum, sha1sum, sha256sum,
  sha512sum, cksum, base64, od, seq, sleep, jq, env, printenv, xargs, timeout, nice, git status,
  git log, git diff, git show, git blame, git rev-parse
`);

/** Arguments with which the commands above write a file or run a program; GNU programs know a long one by its start. */
const writingArguments: Readonly<Record<string, RegExp>> = {
  find: /^-(delete|fprint|fprint0|fprintf|fls)$/,
  sort: /^(-[A-Za-z]*[oT].*|--o.*|--com.*|--t.*)$/,
  base64: /^(-o.*|--output.*)$/,
  date: /^(-[A-Za-z]*s.*|--s.*|[0-9]{8,}.*)$/,
  tree: /^(-[A-Za-z]*[oR].*|--output.*)$/,
  rg: /^--(pre|hostname-bin|search-zip)/,
  file: /^(-[A-Za-z]*C.*|--co.*)$/,
  git: /^(--output.*|--ext-diff|--textconv|--open-files-in-pager.*|-O.*)$/,
  printf: /^-v/,
};

/** They change what later words mean or run text that is not in the command. */
const unjudgeableCommands: ReadonlySet<string> = new Set(
  splitList(
    'source, ., trap, alias, unalias, hash, enable, let, declare, typeset, local, bind, complete, compgen, fc, mapfile, readarray, parallel',
  ),
);
/** Builtins without an effect of their own; an allow-list need not name them. */
const freeCommands: ReadonlySet<string> = new Set(
  splitList(':, true, false, cd, exit, return, break, continue, shift, wait, exec, command, builtin, eval'),
);
/** Variables that decide which program a name means or make programs run others. */
const guardedVariable =
  /^(PATH|IFS|ENV|BASH.*|SHELLOPTS|PS4|PROMPT_COMMAND|LD_.*|DYLD_.*|GIT_.*|.*PAGER|EDITOR|VISUAL|LESS.*|NODE_OPTIONS|PYTHON.*|PERL5.*|RUBY.*|RIPGREP_CONFIG_PATH|TAR_OPTIONS)$/;
/** Where a name given with a path may live and still count as the name in an allow-list. */
const systemDirectories: ReadonlySet<string> = new Set(
  splitList('/bin, /sbin, /usr/bin, /usr/sbin, /usr/local/bin, /usr/local/sbin, /opt/homebrew/bin'),
);
/** `sh -c 'sh -c "…"'`: deeper than this nobody means well. */
const scriptNestingMax = 8;

function splitList(text: string): string[] {
  return text.split(',').map((item) => item.trim());
}

const allowed: Judgement = { isAllowed: true };

/** Judges text for a shell. Without lists nothing is judged, not even the syntax. */
export function judgeScript(script: string, policy: CommandPolicy): Judgement {
  return isLimited(policy) ? judgeText(script, policy, 0) : allowed;
}

/** Judges a program and its arguments, run without a shell. */
export function judgeArguments(command: readonly string[], policy: CommandPolicy): Judgement {
  if (!isLimited(policy)) return allowed;
  const words = command.map((text): Word => ({ text, hasExpansion: false, hasPattern: false, isQuoted: true }));
  return judgeWords(words, policy, 0);
}

/** Whether anything is judged at all. */
export function isLimited(policy: CommandPolicy): boolean {
  return policy.allowed !== undefined || policy.blocked.length > 0 || policy.isReadOnly;
}

function refused(reason: string): Judgement {
  return { isAllowed: false, reason };
}

function judgeText(script: string, policy: CommandPolicy, depth: number): Judgement {
  if (depth > scriptNestingMax) return refused('it nests shells too deeply to be judged');
  const parsed = parseShell(script);
  if (!parsed.ok) return refused(`${parsed.reason}, which the command policy cannot judge; write it in a plainer way`);
  return firstRefusal(parsed.commands, (command) => judgeCommand(command, policy, depth));
}

function firstRefusal<TItem>(items: readonly TItem[], judge: (item: TItem) => Judgement): Judgement {
  for (const item of items) {
    const judgement = judge(item);
    if (!judgement.isAllowed) return judgement;
  }
  return allowed;
}

function judgeCommand(command: SimpleCommand, policy: CommandPolicy, depth: number): Judgement {
  const guarded = command.assignedNames.find((name) => guardedVariable.test(name));
  if (guarded !== undefined) return refused(`it sets ${guarded}`);
  if (policy.isReadOnly) {
    const written = command.redirects.find((redirect) => !isReadingRedirect(redirect));
    if (written !== undefined)
      return refused(`it writes to ${written.target.text || 'a file'} and only reading is allowed`);
  }
  return command.words.length === 0 ? allowed : judgeWords(command.words, policy, depth);
}

function isReadingRedirect({ operator, target }: SimpleCommand['redirects'][number]): boolean {
  if (operator.startsWith('<') && operator !== '<>') return true;
  if (operator === '>&' && !target.hasExpansion && /^([0-9]+|-)$/.test(target.text)) return true;
  return !target.hasExpansion && target.text === '/dev/null';
}

function judgeWords(words: readonly Word[], policy: CommandPolicy, depth: number): Judgement {
  const [first] = words;
  if (depth > scriptNestingMax) return refused('it nests commands too deeply to be judged');
  if (first === undefined || first.hasExpansion || first.hasPattern || /^(-|$)/.test(first.text)) {
    return refused('it runs a command whose name is not written out');
  }
  const name = first.text.split('/').at(-1) ?? '';
  const guarded = words.find(({ text }) => guardedVariable.test(/^([A-Za-z_]\w*)\+?=/.exec(text)?.[1] ?? ''));
  if (guarded !== undefined) return refused(`it sets ${guarded.text.split('=', 1).join('')}`);
  if (unjudgeableCommands.has(name)) return refused(`${name} cannot be judged by the command policy`);
  if (['read', 'printf', 'getopts'].includes(name) && words.some(({ text }) => guardedVariable.test(text))) {
    return refused(`${name} would set a guarded variable`);
  }
  if (policy.blocked.some((entry) => isBlockedBy(entry, name, words))) return refused(`${name} is a blocked command`);
  if (policy.allowed !== undefined && !isAllowedBy(policy.allowed, first.text, name, words)) {
    return refused(`${first.text} is not among the allowed commands`);
  }
  // Whoever allows one by name means it.
  if (policy.allowed === undefined && (launchers.has(name) || isLoader(name))) {
    return refused(`${name} runs another command, which the command policy cannot judge`);
  }
  if (policy.isReadOnly && hasWritingArgument(name, words)) {
    return refused(`${name} has arguments that may write, and only reading is allowed`);
  }
  return firstRefusal(unwrap(name, words), (wrapped) => judgeWrapped(wrapped, policy, depth + 1));
}

/** `/lib64/ld-linux-x86-64.so.2 /bin/rm` runs rm. */
function isLoader(name: string): boolean {
  return /^ld(-[\w-]+)?\.so(\.\d+)?$/.test(name);
}

function judgeWrapped(wrapped: Wrapped, policy: CommandPolicy, depth: number): Judgement {
  switch (wrapped.kind) {
    case 'unknown':
      return refused(`${wrapped.reason}, which the command policy cannot judge`);
    case 'script':
      if (wrapped.script.hasExpansion) return refused('a shell runs text that is computed');
      return judgeText(wrapped.script.text, policy, depth);
    case 'words':
      return judgeWords(wrapped.words, policy, depth);
  }
}

/** Every further word of an entry must occur, in order: options in between do not hide `git push`. */
function isBlockedBy(entry: string, name: string, words: readonly Word[]): boolean {
  const [command = '', ...rest] = entry.trim().split(/\s+/);
  // File systems that ignore case run RM as rm.
  if (!matchName(command.split('/').at(-1)?.toLowerCase() ?? '', name.toLowerCase())) return false;
  let at = 1;
  for (const pattern of rest) {
    if (pattern === '*') continue;
    while (at < words.length && !isPossibly(pattern, words[at])) at += 1;
    if (at === words.length) return false;
    at += 1;
  }
  return true;
}

function isPossibly(pattern: string, word: Word | undefined): boolean {
  return word !== undefined && (word.hasExpansion || word.hasPattern || matchName(pattern, word.text));
}

function isAllowedBy(entries: readonly string[], path: string, name: string, words: readonly Word[]): boolean {
  if (freeCommands.has(path)) return true;
  const slash = path.lastIndexOf('/');
  const isSystemPath = slash === -1 || systemDirectories.has(path.slice(0, slash));
  return entries.some((entry) => {
    const [command = '', ...rest] = entry.trim().split(/\s+/);
    if (command !== path && !(isSystemPath && matchName(command, name))) return false;
    return rest.every((pattern, at) => {
      const word = words[at + 1];
      if (pattern === '*') return true;
      return word !== undefined && !word.hasExpansion && !word.hasPattern && matchName(pattern, word.text);
    });
  });
}

function hasWritingArgument(name: string, words: readonly Word[]): boolean {
  const operands = words.slice(1);
  if (name === 'uniq') {
    // Its second operand is the file it writes; `-` is an operand, and so is everything behind `--`.
    const end = operands.findIndex(({ text }) => text === '--');
    const isOperand = ({ text, hasExpansion }: Word, at: number): boolean =>
      hasExpansion || text === '-' || !text.startsWith('-') || (end !== -1 && at > end);
    return operands.filter(isOperand).length > 1;
  }
  const pattern = Object.hasOwn(writingArguments, name) ? writingArguments[name] : undefined;
  if (pattern === undefined) return false;
  return operands.some(({ text, hasExpansion }) => pattern.test(text) || (hasExpansion && name !== 'printf'));
}
