// Deliveries of webhooks: who signed them and when, what they carry, and how many are taken.
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { webhookHeaders } from '../protocol/jobs.ts';
import { HttpProblem } from './problems.ts';

/** Clocks of two machines differ by less, and a delivery that was written down is worthless soon. */
const timestampToleranceMs = 5 * 60_000;
const deliveryIdCharactersMax = 200;
/** A minute's worth at once, then one a second: executions cost money, and senders repeat what was refused. */
const burstCountMax = 60;
const refillIntervalMs = 1_000;

/** 256 bits; the mark at its front lets scanners find one that was published. */
export function createWebhookSecret(): string {
  return `kubiya_whsec_${randomBytes(32).toString('base64url')}`;
}

export interface Delivery {
  readonly header: (name: string) => string | undefined;
  readonly body: Uint8Array;
}

/**
 * The keys by which a repetition is recognised: the signature, which a stranger who repeats it cannot change, and the id
 * that the sender gave, which stays when it signs again. Throws the 401 of a delivery that is not signed so.
 */
export function verifyDelivery({ header, body }: Delivery, secret: string, nowMs: number): string[] {
  const given = header(webhookHeaders.signature);
  const signature = given ?? header(webhookHeaders.githubSignature);
  if (signature === undefined) {
    throw refused('webhook_unsigned', `The delivery is not signed: ${webhookHeaders.signature} is missing`);
  }
  const hmac = createHmac('sha256', secret);
  if (given === undefined && startsAsSigned(body)) {
    const detail = `What is signed with ${webhookHeaders.timestamp} must come with it`;
    throw refused('webhook_timestamp_missing', detail);
  }
  if (given !== undefined) hmac.update(`${checkedTimestamp(header(webhookHeaders.timestamp), nowMs)}.`);
  const expected = hmac.update(body).digest();
  const hex = /^sha256=([0-9a-f]{64})$/i.exec(signature.trim())?.[1] ?? '';
  const actual = Buffer.from(hex, 'hex');
  if (actual.length !== expected.length || !timingSafeEqual(actual, expected)) {
    throw refused('webhook_signature_wrong', 'The signature is not that of this body with the secret of this webhook');
  }
  const id =
    header(webhookHeaders.delivery) ?? header('Idempotency-Key') ?? header(webhookHeaders.githubDelivery) ?? '';
  if (id.length > deliveryIdCharactersMax) {
    const detail = `The id of the delivery is longer than ${deliveryIdCharactersMax} characters`;
    throw new HttpProblem(400, detail, { code: 'webhook_delivery_id_too_long' });
  }
  const digest = createHash('sha256').update(actual).digest('hex');
  return [`signature:${digest}`, ...(id === '' ? [] : [`delivery:${id}`])];
}

/** As the sender wrote it: it is a part of what was signed. */
function checkedTimestamp(text: string | undefined, nowMs: number): string {
  const seconds = text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) : undefined;
  if (text === undefined || seconds === undefined) {
    throw refused('webhook_timestamp_missing', `${webhookHeaders.timestamp} must be the time in seconds since 1970`);
  }
  if (Math.abs(nowMs - seconds * 1000) > timestampToleranceMs) {
    throw refused('webhook_timestamp_old', 'The delivery was signed more than 5 minutes ago, or the clocks differ');
  }
  return text;
}

/**
 * Both ways of signing have one secret: an old delivery of ours, sent again as if the timestamp were the beginning of a body
 * that GitHub has signed, would go round the look at the clock.
 */
function startsAsSigned(body: Uint8Array): boolean {
  return /^\d{1,12}\./.test(new TextDecoder('latin1').decode(body.subarray(0, 13)));
}

function refused(code: string, detail: string): HttpProblem {
  const hint = `sign "<${webhookHeaders.timestamp}>.<body>" with HMAC-SHA256 and send ${webhookHeaders.signature}: sha256=<hex>`;
  return new HttpProblem(401, detail, { code, hint });
}

/** The value that a prompt's `{{.body}}` stands for: parsed JSON, the text, or null for an empty body. Throws a HttpProblem. */
export function readBody(bytes: Uint8Array, contentType: string | undefined): unknown {
  if (bytes.length === 0) return null;
  const [type = '', ...parameters] = (contentType ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const charset = parameters
    .find((part) => part.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '');
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8' && charset !== 'us-ascii')
    throw unsupported('The body is not in UTF-8', 'send charset=utf-8');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw unsupported('The body is not text in UTF-8', 'send JSON or text', error);
  }
  // What GitHub sends unless it is told to send JSON.
  if (type === 'application/x-www-form-urlencoded') {
    const fields = new URLSearchParams(text);
    const payload = fields.get('payload');
    return payload === null ? Object.fromEntries(fields) : parseJson(payload);
  }
  if (type.startsWith('text/')) return text;
  if (type === '' || /^application\/([\w.-]+\+)?json$/.test(type)) return parseJson(text);
  throw unsupported(`A body of the type ${type.slice(0, 100)} cannot be read`, 'send JSON or text');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HttpProblem(400, 'The body is not JSON', { code: 'malformed_json', cause: error });
  }
}

function unsupported(detail: string, hint: string, cause?: unknown): HttpProblem {
  return new HttpProblem(415, detail, { code: 'unsupported_media_type', hint, cause });
}

export interface RateLimit {
  /** Milliseconds until the next is taken; 0 takes this one. */
  take(key: string): number;
}

export function createRateLimit(clock: Pick<Clock, 'elapsed'>): RateLimit {
  const buckets = new Map<string, { left: number; at: number }>();
  return {
    take: (key) => {
      const now = clock.elapsed();
      const bucket = buckets.get(key) ?? { left: burstCountMax, at: now };
      const refilled = Math.min(burstCountMax, bucket.left + (now - bucket.at) / refillIntervalMs);
      const isTaken = refilled >= 1;
      // Only webhooks that exist come here, and only signed deliveries: there are as many buckets as webhooks.
      buckets.set(key, { left: isTaken ? refilled - 1 : refilled, at: now });
      return isTaken ? 0 : Math.ceil((1 - refilled) * refillIntervalMs);
    },
  };
}
