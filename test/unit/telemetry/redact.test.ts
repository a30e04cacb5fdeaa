// Secrets leave in no form and in no pieces.
import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { createRedactor, redactionMask } from '../../../src/telemetry/redact.ts';

const redactorOf = (...secrets: readonly string[]) => {
  const redactor = createRedactor();
  for (const secret of secrets) redactor.register(secret);
  return redactor;
};
const pem = `-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nq8Zx+y/7Jw==\n-----END PRIVATE KEY-----\n`;
const token = 'sk-ab+c/d"e\\f€123';

describe('redact', () => {
  test.each([
    ['as it is', token],
    ['in JSON', JSON.stringify({ token }).slice(10, -2)],
    ['in JSON in JSON', JSON.stringify(JSON.stringify({ token })).slice(14, -4)],
    ['in a URL', encodeURIComponent(token)],
    ['in a URL with small letters', encodeURIComponent(token).replaceAll(/%../g, (code) => code.toLowerCase())],
    ['in base64', Buffer.from(token).toString('base64').replace(/.=*$/, '')],
    ['in base64url', Buffer.from(token).toString('base64url').slice(0, -1)],
  ])('removes a secret %s', (_name, form) => {
    expect(redactorOf(token).redact(`before ${form} after`)).toMatch(/^before \[redacted\]\S? after$/);
  });

  test('removes base64 of what has the secret inside, as Basic authorization has', () => {
    for (const user of ['', 'u', 'us', 'use', 'user']) {
      const encoded = Buffer.from(`${user}:${token}`).toString('base64');
      const left = redactorOf(token).redact(encoded).split(redactionMask);
      expect(left).toHaveLength(2);
      // What is left is the user and at most a shared character on either side.
      expect(Buffer.from(left[0] ?? '', 'base64').toString()).not.toContain('sk');
      expect(left[1]?.replaceAll('=', '').length).toBeLessThanOrEqual(1);
    }
  });

  test('removes each line of a secret of many lines, and the key of a service account', () => {
    const account = JSON.stringify({
      type: 'service_account',
      private_key: pem,
      token_uri: 'https://example.com/token',
    });
    const redactor = redactorOf(account);
    for (const line of pem.trim().split('\n')) expect(redactor.redact(`| ${line} |`)).toBe('| [redacted] |');
    expect(redactor.redact('a service_account of https://example.com')).toBe(
      'a service_account of https://example.com',
    );
    expect(redactorOf(pem).redact(pem.replaceAll('\n', '\r\n'))).not.toContain('MIIE');
  });

  test('ignores what is too short, and knows nothing before it is told', () => {
    const redactor = redactorOf('', 'abcde', 'x\ny');
    expect(redactor.redact('abcde x y secret1')).toBe('abcde x y secret1');
    redactor.register('secret1');
    expect(redactor.redact('abcde x y secret1')).toBe('abcde x y [redacted]');
  });

  test('characters that mean something in a pattern are only characters', () => {
    const secret = '.*+?^${}()|[]\\/-$&';
    expect(redactorOf(secret).redact(`a${secret}b and abcdefg`)).toBe('a[redacted]b and abcdefg');
  });

  test('the longest secret wins, and overlapping ones leave no rest', () => {
    expect(redactorOf('secret', 'secret-long').redact('secret-long secret')).toBe('[redacted] [redacted]');
    expect(redactorOf('abcdefgh', 'efghijkl').redact('-abcdefghijkl-')).toBe('-[redacted]-');
  });

  test('is no reason to fail: half of a surrogate pair, half of a JSON document', () => {
    expect(redactorOf('key\uD800key', '{"token": "abc').redact('x key\uD800key x')).toBe('x [redacted] x');
  });
});

// Few letters, so that secrets repeat inside themselves, overlap and start alike.
const secretText = fc.string({ unit: fc.constantFrom('a', 'b', '1', '\n', '"', '/'), minLength: 6, maxLength: 12 });
const secretList = fc.array(secretText, { minLength: 1, maxLength: 4 });
const filler = fc.string({ unit: fc.constantFrom('a', 'b', '1', '\n', '"', '/', 'c', 'é') });

/** As keys and passwords are: without blanks at the ends, since those would be trimmed from a line. */
const trimmed = (text: string): boolean => text.trim() === text;
const printedSecret = fc.string({ minLength: 12, maxLength: 60 }).filter(trimmed);
const anySecret = fc.string({ unit: 'grapheme', minLength: 10, maxLength: 40 }).filter(trimmed);

const wrapped = (text: string, width: number, lineBreak: string): string =>
  (text.match(new RegExp(`.{1,${width}}`, 'g')) ?? []).join(lineBreak);
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const hex = (text: string): string => Buffer.from(text).toString('hex');
const json = (text: string): string => JSON.stringify({ text });
const unicode = (text: string, pattern: RegExp): string =>
  json(text).replace(pattern, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
/** What programs do to a text that has the secret inside. */
const encodings: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  json,
  'json in json': (text) => json(json(text)),
  'json of Python': (text) => unicode(text, /[^ -~]/g),
  'json of PHP': (text) => unicode(text, /[^ -~]/g).replaceAll('/', '\\/'),
  'json of Go': (text) => unicode(text, /[<>&]/g),
  'json with every slash escaped': (text) => json(text).replaceAll('/', '\\/'),
  url: (text) => encodeURIComponent(text.toWellFormed()),
  'url in small letters': (text) =>
    encodeURIComponent(text.toWellFormed()).replace(/%../g, (code) => code.toLowerCase()),
  form: (text) => new URLSearchParams({ text: text.toWellFormed() }).toString(),
  base64,
  base64url: (text) => Buffer.from(text).toString('base64url'),
  'base64 in lines of 76': (text) => wrapped(base64(text), 76, '\r\n'),
  'base64 in lines of 64': (text) => wrapped(base64(text), 64, '\n'),
  'base64 in lines of 64 in json': (text) => json(wrapped(base64(text), 64, '\n')),
  'base64 in indented lines': (text) => wrapped(base64(text), 76, '\n    '),
  hex,
  'hex in large letters': (text) => hex(text).toUpperCase(),
  'hex in lines of 60': (text) => wrapped(hex(text), 60, '\n'),
};

/** Everything that a reader could make of what is left between the masks. */
const readings: Readonly<Record<string, (part: string) => string[]>> = {
  base64: (part) =>
    [0, 1, 2, 3].map((shift) =>
      Buffer.from(part.replace(/\\[nr]|\s/g, '').slice(shift), 'base64url').toString('latin1'),
    ),
  hex: (part) => [0, 1].map((shift) => Buffer.from(part.replace(/\s/g, '').slice(shift), 'hex').toString('latin1')),
  json: (part) => [part, unescapedOnce(part), unescapedOnce(unescapedOnce(part))],
  url: (part) => [part, part.replaceAll('+', ' ').replace(/%([0-9a-f]{2})/gi, (_, code: string) => unitOf(code))],
};
const unitOf = (code: string): string => String.fromCharCode(Number.parseInt(code, 16));
const unescapedOnce = (text: string): string =>
  text.replace(/\\(?:u([0-9a-f]{4})|(.))/gi, (_, code: string | undefined, unit: string) =>
    code === undefined ? unit : unitOf(code),
  );

/** Shorter pieces are in every text. */
const pieceLength = 8;

function piecesLeft(output: string, secret: string, name: string): string[] {
  const read = Object.entries(readings).find(([kind]) => name.startsWith(kind) || (kind === 'url' && name === 'form'));
  const texts = output.split(redactionMask).flatMap(read?.[1] ?? ((part) => [part]));
  return [secret, Buffer.from(secret).toString('latin1')].flatMap((whole) =>
    Array.from({ length: whole.length - pieceLength + 1 }, (_, start) =>
      whole.slice(start, start + pieceLength),
    ).filter((piece) => texts.some((text) => text.includes(piece))),
  );
}

describe('properties', () => {
  const texts = secretList.chain((secrets) =>
    fc.record({
      secrets: fc.constant(secrets),
      text: fc.array(fc.oneof(filler, fc.constantFrom(...secrets))).map((parts) => parts.join('')),
      cuts: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 }),
    }),
  );

  test('a text without a secret in it comes back as it was', () => {
    fc.assert(fc.property(fc.string(), (text) => expect(redactorOf('ZZZZZZZZ\u2603').redact(text)).toBe(text)));
  });

  test('no secret is left in a whole text', () => {
    fc.assert(
      fc.property(texts, ({ secrets, text }) => {
        const parts = redactorOf(...secrets)
          .redact(text)
          .split(redactionMask);
        for (const secret of secrets) for (const part of parts) expect(part).not.toContain(secret);
      }),
      { numRuns: 1_000 },
    );
  });

  test('pieces, however cut, give what the whole gives, and hold back no more than a secret', () => {
    fc.assert(
      fc.property(texts, ({ secrets, text, cuts }) => {
        const redactor = redactorOf(...secrets);
        const stream = redactor.createStream();
        let output = '';
        for (let start = 0, turn = 0; start < text.length; turn += 1) {
          const end = start + (cuts[turn % cuts.length] ?? 1);
          output += stream.push(text.slice(start, end));
          start = end;
        }
        expect(output + stream.flush()).toBe(redactor.redact(text));
        expect(stream.flush()).toBe('');
      }),
      { numRuns: 3_000 },
    );
  });

  test('random secrets in every encoding, cut anywhere, leak nothing, and a stream says what the whole says', () => {
    const seed = Date.now() & 0x7fff_ffff;
    console.log(`seed of the redaction property: ${seed}`);
    fc.assert(
      fc.property(
        fc.array(fc.oneof(printedSecret, anySecret), { minLength: 1, maxLength: 3 }),
        fc.constantFrom(...Object.keys(encodings)),
        fc.string({ maxLength: 60 }),
        fc.string({ maxLength: 60 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 }),
        (secrets, name, before, after, sizes) => {
          const redactor = redactorOf(...secrets);
          const encode = encodings[name] ?? ((text) => text);
          const text = secrets.map((secret) => encode(`${before}${secret}${after}`)).join('\n');
          const whole = redactor.redact(text);
          // The quick look may be wrong in one direction only.
          const isAscii = !/[\u0080-\uffff]/.test(text);
          if (isAscii && whole !== text) expect(redactor.isClean(Buffer.from(text), 0, text.length)).toBe(false);
          const stream = redactor.createStream();
          let pieces = '';
          for (let start = 0, turn = 0; start < text.length; turn += 1) {
            const size = sizes[turn % sizes.length] ?? 1;
            pieces += stream.push(text.slice(start, start + size));
            start += size;
          }
          expect(pieces + stream.flush()).toBe(whole);
          for (const secret of secrets) {
            expect(piecesLeft(whole, secret, name).filter((piece) => !`${before} ${after}`.includes(piece))).toEqual(
              [],
            );
          }
        },
      ),
      { seed, numRuns: 2_500 },
    );
  }, 15_000);
});

test('a stream without secrets holds nothing back, and learns one on the way', () => {
  const redactor = createRedactor();
  const stream = redactor.createStream();
  expect(stream.push('sec')).toBe('sec');
  redactor.register('secret-value');
  expect(stream.push(' sec')).toBe(' ');
  expect(stream.push('ret-value!')).toBe('[redacted]!');
});

test('a secret that repeats itself without end does not make a stream hold more and more', () => {
  const stream = redactorOf('aaaaaa').createStream();
  let output = '';
  for (let count = 0; count < 10_000; count += 1) output += stream.push('a');
  expect(output).toBe(redactionMask);
  expect(stream.push('b').length + stream.flush().length).toBeLessThan(10);
});
