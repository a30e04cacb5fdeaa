// Every form in which a secret is printed by the programs that print secrets.

export interface SecretForm {
  readonly text: string;
  /** Encoders break it into lines: a line break, and blanks after it, may stand between any two characters. */
  readonly isWrapped: boolean;
}

/** Shorter secrets, and shorter pieces of one, also occur by chance in ordinary text. */
export const secretLengthMin = 6;
/** Beyond the largest certificate chain or service account that is somebody's key; larger files are known line by line. */
const encodedLengthMax = 16_384;

/** A long secret of many lines is also known by each of its lines, and a JSON document by the secrets in it. */
export function formsOf(secret: string): readonly SecretForm[] {
  const plain = new Set(
    [secret, ...linesOf(secret), ...secretLeaves(secret)].filter((text) => text.length >= secretLengthMin),
  );
  return [...plain].flatMap((text) =>
    text.length > encodedLengthMax ? [{ text, isWrapped: false }] : [...unwrappedForms(text), ...wrappedForms(text)],
  );
}

function linesOf(text: string): readonly string[] {
  return text.split('\n').map((line) => line.trim());
}

function unwrappedForms(text: string): SecretForm[] {
  const escaped = jsonForms(text);
  // Tool arguments are JSON inside JSON, hence twice.
  const forms = new Set([text, lineForm(text), ...escaped, ...escaped.map(jsonEscaped), ...urlForms(text)]);
  return [...forms].filter((form) => form.length >= secretLengthMin).map((form) => ({ text: form, isWrapped: false }));
}

function wrappedForms(text: string): SecretForm[] {
  const hex = Buffer.from(text).toString('hex');
  const forms = new Set([hex, hex.toUpperCase(), ...base64Forms(text), ...base64Forms(jsonEscaped(text))]);
  return [...forms].filter((form) => form.length >= secretLengthMin).map((form) => ({ text: form, isWrapped: true }));
}

function jsonEscaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** What our own log does to a text: only control characters are escaped. */
function lineForm(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) =>
    character === '\n' ? String.raw`\n` : character === '\t' ? String.raw`\t` : unicodeEscape(character),
  );
}

/** What JSON demands, then what the encoders of other languages escape beyond it. */
function jsonForms(text: string): string[] {
  const bySpec = jsonEscaped(text);
  const lower = [
    bySpec,
    bySpec.replace(/[^ -~]/g, unicodeEscape), // Python, and PHP
    bySpec.replace(/[<>&\u2028\u2029]/g, unicodeEscape), // Go, and Ruby on Rails
    bySpec.replace(/[<>&='\u2028\u2029]/g, unicodeEscape), // Gson
    bySpec.replaceAll(String.raw`\"`, String.raw`\u0022`).replace(/['+<>&`]|[^ -~]/g, unicodeEscape), // .NET
    text.replace(/[^]/g, unicodeEscape), // everything
  ];
  const upper = lower.map((form) => form.replace(/\\u[0-9a-f]{4}/g, (code) => `\\u${code.slice(2).toUpperCase()}`));
  const both = [...new Set([...lower, ...upper])];
  return [...both, ...both.map((form) => form.replaceAll('/', String.raw`\/`))];
}

function unicodeEscape(unit: string): string {
  return String.raw`\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** `encodeURIComponent`, what is stricter (Python, PHP, Java), what lets a slash pass (Python), and HTML's forms. */
function urlForms(text: string): string[] {
  const wellFormed = text.toWellFormed();
  const encoded = encodeURIComponent(wellFormed);
  const strict = encoded.replace(/[!'()*]/g, (unit) => `%${unit.charCodeAt(0).toString(16).toUpperCase()}`);
  const form = new URLSearchParams([['', wellFormed]]).toString().slice(1);
  const upper = [encoded, strict, strict.replaceAll('~', '%7E'), encodeURI(wellFormed), form].flatMap((one) => [
    one,
    one.replaceAll('%20', '+'),
    one.replaceAll('%2F', '/'),
  ]);
  const both = new Set([...upper, ...upper.map((one) => one.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()))]);
  return [...both];
}

/** Base64 of the secret wherever it stands in what was encoded (`user:secret`): without characters that share bits. */
function base64Forms(text: string): readonly string[] {
  const bytes = Buffer.from(text);
  return [0, 1, 2].flatMap((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const isLastShared = (offset + bytes.length) % 3 !== 0;
    const form = encoded.slice(Math.ceil((offset * 8) / 6), isLastShared ? -1 : undefined);
    return [form, form.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

const secretKeyPattern = /key|secret|token|password|credential/i;

/** A service account is one JSON document: once parsed its key is printed alone. */
function secretLeaves(secret: string): readonly string[] {
  if (!secret.trimStart().startsWith('{')) return [];
  const leaves: string[] = [];
  try {
    JSON.parse(secret, (key: string, value: unknown) => {
      if (typeof value === 'string' && secretKeyPattern.test(key)) leaves.push(value, ...linesOf(value));
      return value;
    });
  } catch {
    // Starts like JSON and is none: its lines are registered anyway.
    return [];
  }
  return leaves;
}
