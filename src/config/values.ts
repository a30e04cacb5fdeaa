// One value of one option: text from a flag, a variable or a file into what its declaration says, or what is wrong with it.
import { resolve } from 'node:path';
import { formatDuration, parseDuration } from '../lib/duration.ts';
import { formatBytes, parseQuantity } from '../lib/size.ts';
import type { OptionDeclaration } from './options.ts';

/** `problem` continues a sentence that begins with the name of the flag or variable: "must be …". */
export type ParsedValue =
  | { readonly ok: true; readonly value: string | number | boolean }
  | { readonly ok: false; readonly problem: string };

const trueWords: ReadonlySet<string> = new Set(['true', '1', 'yes', 'on']);
const falseWords: ReadonlySet<string> = new Set(['false', '0', 'no', 'off']);

export function parseValue(option: OptionDeclaration, text: string, cwd: string): ParsedValue {
  // Quoted only where it is no secret.
  const seen = option.isSecret === true ? '' : `, not "${withoutCredentials(text)}"`;
  const refused = (expected: string): ParsedValue => ({ ok: false, problem: `must be ${expected}${seen}` });
  const trimmed = text.trim();
  switch (option.type) {
    case 'text':
      return trimmed === '' ? refused('a text that is not empty') : { ok: true, value: trimmed };
    case 'path':
      return trimmed === '' ? refused('a path') : { ok: true, value: resolve(cwd, trimmed) };
    case 'url':
      // `config show` and every message about the server print it.
      if (holdsCredentials(trimmed)) return { ok: false, problem: 'must not hold a user name or a password' };
      return isWebUrl(trimmed)
        ? { ok: true, value: trimmed.replace(/\/+$/, '') }
        : refused('a URL that begins with http:// or https://');
    case 'proxy': {
      const url = trimmed.includes('://') ? trimmed : `http://${trimmed}`;
      // Its credentials are not shown, also where it is wrong.
      return isWebUrl(url) && hasPlainCredentials(url)
        ? { ok: true, value: url }
        : { ok: false, problem: 'must be the URL of an HTTP proxy' };
    }
    case 'switch': {
      const word = trimmed.toLowerCase();
      if (trueWords.has(word)) return { ok: true, value: true };
      return falseWords.has(word) ? { ok: true, value: false } : refused('true or false');
    }
    case 'integer':
    case 'seconds': {
      const unit = option.type === 'seconds' ? ' seconds' : '';
      const digits = option.type === 'seconds' ? trimmed.replace(/s$/, '') : trimmed;
      const value = /^\d+$/.test(digits) ? Number(digits) : Number.NaN;
      if (!(value >= option.min && value <= option.max))
        return refused(`a whole number from ${option.min} to ${option.max}${unit}`);
      return { ok: true, value: option.type === 'seconds' ? value * 1000 : value };
    }
    case 'duration': {
      const value = parseDuration(trimmed);
      if (value === null || value < option.minMs || value > option.maxMs) {
        return refused(`a duration such as 30s or 5m, at most ${formatDuration(option.maxMs)}`);
      }
      return { ok: true, value };
    }
    case 'bytes': {
      const value = parseQuantity(trimmed);
      if (value === null || value < option.min || value > option.max)
        return refused(`a size such as 512Mi or 2Gi, at least ${formatBytes(option.min)}`);
      return { ok: true, value: Math.floor(value) };
    }
    case 'cpus': {
      const value = parseQuantity(trimmed);
      if (value === null || value < option.min || value > option.max)
        return refused('a number of processors such as 2, 0.5 or 1000m');
      return { ok: true, value };
    }
    case 'usd': {
      const value = /^\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : Number.NaN;
      if (!(value >= option.min && value <= option.max))
        return refused(`an amount of US dollars from ${option.min} to ${option.max}, such as 0.50`);
      return { ok: true, value };
    }
    case 'choice': {
      const word = trimmed.toLowerCase();
      return option.choices.includes(word) ? { ok: true, value: word } : refused(`one of ${option.choices.join(', ')}`);
    }
  }
}

/** The proxy gets what its escapes mean. */
function hasPlainCredentials(text: string): boolean {
  const { username, password } = new URL(text);
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

/** The text without the user and the password of URLs in it, also where they are no good URLs. */
export function withoutCredentials(text: string): string {
  return text.replaceAll(/\/\/[^\s"']*@/g, '//[redacted]@');
}

function holdsCredentials(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url !== undefined && url.username + url.password !== '';
}

function isWebUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}
