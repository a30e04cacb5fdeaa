// What a token says about itself, and texts that are none.
import { expect, test } from 'bun:test';
import { claimsOf, expiryMsOf } from '../../../src/lib/json-web-token.ts';

const part = (text: string): string => Buffer.from(text).toString('base64url');

test('claims and expiry', () => {
  const token = `${part('{}')}.${part('{"exp":1700000000,"name":"Zoë"}')}.x`;
  expect(claimsOf(token)).toEqual({ exp: 1_700_000_000, name: 'Zoë' });
  expect(expiryMsOf(token)).toBe(1_700_000_000_000);
});

test.each([
  '',
  'key',
  'a.b',
  'a.b.c',
  `a.${part('[]')}.c`,
  `a.${part('null')}.c`,
  `a.${part('"x"')}.c`,
  `a.${part('{}')}.c.d`,
])('%p is no token', (text) => {
  expect(claimsOf(text)).toBeUndefined();
  expect(expiryMsOf(text)).toBeUndefined();
});

test.each(['{}', '{"exp":"soon"}', '{"exp":null}', '{"exp":1e999}'])('%s never ends', (claims) => {
  expect(expiryMsOf(`a.${part(claims)}.c`)).toBeUndefined();
});
