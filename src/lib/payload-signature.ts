// Signs what passes through a Temporal server that has no authentication, so that a forged start or signal is refused.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { refusedPayloadKey } from './payload-refusal.ts';

/** The part of a Temporal `Payload` that matters here. */
export interface SignedPayload {
  metadata?: Record<string, Uint8Array> | null;
  data?: Uint8Array | null;
}

/** Has the shape of Temporal's `PayloadCodec`. */
export interface PayloadSignatureCodec {
  encode<T extends SignedPayload>(payloads: T[]): Promise<T[]>;
  decode<T extends SignedPayload>(payloads: T[]): Promise<T[]>;
}

const signatureKey = 'kubiya-hmac';

/**
 * Adds an HMAC-SHA256 of encoding and data to every payload and verifies it on the way in. A payload that fails becomes
 * `{"kubiya_refused": reason}` instead of an error: a workflow that sees it decides the same on every replay, where an
 * error would fail its workflow task again and again. The same payload is valid for every workflow of the key, so starts
 * and signals name their execution and the workflow checks it.
 */
export function createPayloadSignatureCodec(key: Uint8Array): PayloadSignatureCodec {
  return {
    encode: (payloads) =>
      Promise.resolve(
        payloads.map((payload) => ({
          ...payload,
          metadata: { ...payload.metadata, [signatureKey]: signatureOf(payload, key) },
        })),
      ),
    decode: (payloads) => Promise.resolve(payloads.map((payload) => verified(payload, key))),
  };
}

function verified<T extends SignedPayload>(payload: T, key: Uint8Array): T {
  const { [signatureKey]: signature, ...metadata } = payload.metadata ?? {};
  if (signature === undefined) return refused(payload, 'unsigned');
  const expected = signatureOf(payload, key);
  const isValid = signature.length === expected.length && timingSafeEqual(signature, expected);
  return isValid ? { ...payload, metadata } : refused(payload, 'wrong_signature');
}

function refused<T extends SignedPayload>(payload: T, reason: 'unsigned' | 'wrong_signature'): T {
  const encoder = new TextEncoder();
  const data = encoder.encode(JSON.stringify({ [refusedPayloadKey]: reason }));
  return { ...payload, metadata: { encoding: encoder.encode('json/plain') }, data };
}

function signatureOf(payload: SignedPayload, key: Uint8Array): Uint8Array {
  const encoding = bytesOf(payload.metadata?.['encoding']);
  // The length goes first, so that no byte can move from the encoding to the data.
  return createHmac('sha256', key)
    .update(`${encoding.length}:`)
    .update(encoding)
    .update(bytesOf(payload.data))
    .digest();
}

/** An empty `bytes` field arrives as a plain empty array from protobuf. */
function bytesOf(field: Uint8Array | null | undefined): Uint8Array {
  return field instanceof Uint8Array ? field : Uint8Array.from(field ?? []);
}
