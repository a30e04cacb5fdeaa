// The signature codec: what was signed comes back unchanged, everything else is refused.
import { describe, expect, test } from 'bun:test';
import { isRefused } from '../../../src/lib/payload-refusal.ts';
import { createPayloadSignatureCodec, type SignedPayload } from '../../../src/lib/payload-signature.ts';

const codec = createPayloadSignatureCodec(new Uint8Array(32).fill(7));
const bytes = (text: string) => new TextEncoder().encode(text);
const payloadOf = (data: Uint8Array, metadata: Record<string, Uint8Array> = {}): SignedPayload => ({
  metadata: { encoding: bytes('json/plain'), ...metadata },
  data,
});
const json = (value: unknown): SignedPayload => payloadOf(bytes(JSON.stringify(value)));
const valueOf = (payload: SignedPayload | undefined): unknown =>
  JSON.parse(new TextDecoder().decode(payload?.data ?? new Uint8Array()));

test('an empty field may arrive as a plain array', async () => {
  const codec = createPayloadSignatureCodec(new Uint8Array(32));
  const [encoded] = await codec.encode<SignedPayload>([
    { metadata: { encoding: new TextEncoder().encode('binary/null') }, data: [] as unknown as Uint8Array },
  ]);
  expect(encoded?.metadata).toHaveProperty('kubiya-hmac');
});

describe('payload signature', () => {
  test('a signed payload comes back as it was', async () => {
    const payloads = [json({ execution_id: 'a' }), json('text'), { metadata: { encoding: bytes('binary/null') } }];
    expect(await codec.decode(await codec.encode(payloads))).toEqual(payloads);
  });

  test('an unsigned payload is refused', async () => {
    const [value] = (await codec.decode([json({ prompt: 'rm -rf' })])).map(valueOf);
    expect(value).toEqual({ kubiya_refused: 'unsigned' });
    expect(isRefused(value)).toBe(true);
  });

  test.each([
    ['another key', async () => createPayloadSignatureCodec(new Uint8Array(32).fill(8)).encode([json(1)])],
    ['changed data', async () => (await codec.encode([json(1)])).map((payload) => ({ ...payload, data: bytes('2') }))],
    [
      'changed encoding',
      async () =>
        (await codec.encode([json(1)])).map((payload) => ({
          ...payload,
          metadata: { ...payload.metadata, encoding: bytes('json/plai') },
          data: bytes('n1'),
        })),
    ],
    ['a short signature', async () => [payloadOf(bytes('1'), { 'kubiya-hmac': bytes('x') })]],
  ])('%s is refused', async (_name, forge) => {
    const [value] = (await codec.decode(await forge())).map(valueOf);
    expect(value).toEqual({ kubiya_refused: 'wrong_signature' });
  });

  test('ordinary values are not refused', () => {
    for (const value of [null, undefined, 'kubiya_refused', 0, {}, [], { content: 'x' }])
      expect(isRefused(value)).toBe(false);
  });
});
