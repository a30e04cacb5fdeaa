// That no sentence of ours holds a key, whatever a provider writes.
import { expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { failureFromStatus, withoutKeys } from '../../../src/gateway/failures.ts';
import { endpointAt, testKey } from './harness.ts';

const keys = [
  'sk-ant-api03-AbCdEfGhIjKlMnOp_QrSt-UvWx',
  'sk-proj-abcdefghij1234567890',
  'sk-live-****************3456',
  'gsk_abcdefghijklmnop1234',
  'xai-abcdefghijklmnop1234',
  'AIzaSyA1234567890abcdefghij',
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl',
  'Bearer 0123456789abcdef0123456789abcdef',
  'api_key=0123456789abcdef0123456789abcdef',
];
for (const key of keys) {
  test(`takes out ${key.slice(0, 8)}…`, () => {
    const secret = key.replace(/^(?:Bearer |api_key=)/, '');
    const text = withoutKeys(
      `Incorrect API key provided: ${key}. You can find it at https://example.com/keys`,
      undefined,
    );
    expect(text).not.toContain(secret);
    expect(text).toContain('https://example.com/keys');
  });
}

test('leaves ordinary sentences alone', () => {
  for (const text of [
    'max_tokens is too large: 99999999 for the model claude-sonnet-4-5-20250929',
    'The token count of 214567 exceeds 200000',
    'The key-value-store is not found, code key_not_found_error',
    'No such model: accounts/fireworks/models/llama-v3p3-70b-instruct',
  ]) {
    expect(withoutKeys(text, undefined)).toBe(text);
  }
});

test('our own key never shows, wherever it stands and however it is cut', () => {
  const endpoint = endpointAt('http://127.0.0.1:1', { key: testKey });
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.nat({ max: 500 }), (before, after, padding) => {
      const body = JSON.stringify({ error: { message: `${before}${' pad'.repeat(padding)}${testKey}${after}` } });
      const { message } = failureFromStatus(endpoint, { status: 400, headers: new Headers(), body });
      expect(message).not.toContain(testKey.slice(0, 12));
      expect(message.length).toBeLessThan(600);
    }),
  );
});

test('a page without an end takes no long time', () => {
  const startedAt = performance.now();
  const body = '<style><head '.repeat(100_000);
  failureFromStatus(endpointAt('http://127.0.0.1:1'), { status: 500, headers: new Headers(), body });
  expect(performance.now() - startedAt).toBeLessThan(500);
});

test('codes that are names of object properties mean nothing', () => {
  const body = JSON.stringify({ error: { code: 'constructor', type: '__proto__', message: 'x' } });
  const endpoint = endpointAt('http://127.0.0.1:1');
  expect(failureFromStatus(endpoint, { status: 400, headers: new Headers(), body }).kind).toBe('invalid_request');
});
