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

  test('random tokens in any form leak nothing through a stream', () => {
    const tokens = fc.array(
      fc.string({ minLength: 16, maxLength: 40 }).filter((text) => text.trim() === text),
      { minLength: 1, maxLength: 3 },
    );
    const forms: readonly ((secret: string) => string)[] = [
      (secret) => secret,
      (secret) => JSON.stringify(secret).slice(1, -1),
      encodeURIComponent,
      (secret) => Buffer.from(secret).toString('base64url'),
    ];
    fc.assert(
      fc.property(tokens, fc.constantFrom(...forms), fc.integer({ min: 1, max: 30 }), (secrets, form, size) => {
        const stream = redactorOf(...secrets).createStream();
        const text = secrets.map((secret) => `é ${form(secret)} é`).join('');
        let output = '';
        for (let start = 0; start < text.length; start += size) output += stream.push(text.slice(start, start + size));
        output += stream.flush();
        for (const secret of secrets) expect(output).not.toContain(form(secret));
      }),
      { numRuns: 1_000 },
    );
  });
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
