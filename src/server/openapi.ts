// How a route says what it takes and gives: one vocabulary for validation and for the OpenAPI document.
import type { Context } from 'hono';
import { describeRoute, resolver, validator, type DescribeRouteOptions } from 'hono-openapi';
import * as v from 'valibot';
import { problemSchema, unauthorizedSchema, validationProblemSchema } from '../protocol/control-plane.ts';

export interface RouteDescription {
  readonly summary: string;
  readonly tag: string;
  readonly description?: string;
  /** What the route answers when it works; null is an empty body. */
  readonly answers: Readonly<Record<number, v.GenericSchema | null>>;
  /** Statuses of refusals, each answered with `problemSchema`; 401 and 500 are everywhere. */
  readonly refusals?: readonly number[];
  readonly isOpen?: boolean;
  /** Request headers that mean something, with a sentence each. */
  readonly headers?: Readonly<Record<string, string>>;
  /** True when the answer is a stream of server-sent events. */
  readonly isStream?: boolean;
}

const meanings: Readonly<Record<number, string>> = {
  200: 'Done',
  201: 'Created',
  202: 'Accepted',
  204: 'Done',
  400: 'Refused',
  401: 'The token is missing or wrong',
  404: 'There is no such thing',
  409: 'It contradicts what is there',
  413: 'Too large',
  415: 'Of a type that is not read',
  422: 'A field is missing or wrong',
  429: 'Too many; Retry-After says when',
  500: 'The server failed; the answer has an id that is in its log',
  502: 'Temporal refused',
  503: 'Temporal does not answer; the same request may succeed later',
  507: 'The disk is full; nothing was stored',
};

export function route(description: RouteDescription): ReturnType<typeof describeRoute> {
  const { summary, tag, answers, refusals = [], isOpen = false, headers = {}, isStream = false } = description;
  const responses: NonNullable<DescribeRouteOptions['responses']> = {};
  for (const [status, schema] of Object.entries(answers)) responses[status] = answer(Number(status), schema);
  for (const status of refusals) {
    responses[status] = answer(status, status === 422 ? validationProblemSchema : problemSchema);
  }
  if (isStream) {
    const content = { 'text/event-stream': { schema: { type: 'string' as const } } };
    responses[200] = { description: 'The stream', content };
  }
  if (!isOpen) responses[401] = answer(401, unauthorizedSchema);
  responses[500] = answer(500, problemSchema);
  return describeRoute({
    summary,
    tags: [tag],
    ...(description.description === undefined ? {} : { description: description.description }),
    ...(isOpen ? { security: [] } : {}),
    parameters: Object.entries(headers).map(([name, text]) => {
      return { name, in: 'header' as const, description: text, schema: { type: 'string' as const } };
    }),
    responses,
  });
}

type Answer = NonNullable<DescribeRouteOptions['responses']>[string];

function answer(status: number, schema: v.GenericSchema | null): Answer {
  const description = meanings[status] ?? `Status ${status}`;
  if (schema === null) return { description };
  return { description, content: { 'application/json': { schema: resolver(schema) } } };
}

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Answers 422 in the shape of the protocol. A message never repeats the value: it may be a secret. */
function refuse(
  place: 'body' | 'query',
): (result: { success: boolean; error?: readonly Issue[]; data?: unknown }, context: Context) => Response | undefined {
  return (result, context) => {
    const isTooDeep = result.success && isDeeperThan(nestingMax, result.data);
    if (result.success && !isTooDeep) return undefined;
    const issues = isTooDeep ? [{ message: `it nests deeper than ${nestingMax} levels` }] : result.error;
    const detail = (issues ?? []).map((issue: Issue) => ({
      loc: [place, ...(issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part))],
      msg: sentenceOf(issue.message),
      type: 'value_error',
    }));
    const hint = detail.map(({ loc, msg }) => `${loc.slice(1).join('.') || place}: ${msg}`).join('; ');
    return context.json({ detail, code: 'invalid_request', hint }, 422);
  };
}

/** SQLite reads no JSON below 1,000 levels: one such row would fail every query over its table. What we store wraps a few more. */
const nestingMax = 500;

function isDeeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((one) => isDeeperThan(levels - 1, one));
}

function sentenceOf(message: string): string {
  if (/^Invalid key: .* received undefined$/s.test(message)) return 'is required';
  return message.replace(/ (but|and) received .*/s, '');
}

export const jsonBody = <S extends v.GenericSchema>(schema: S) => validator('json', schema, refuse('body'));
export const query = <S extends v.GenericSchema>(schema: S) => validator('query', schema, refuse('query'));

/** A query parameter that is a number; the schemas have no transforms, so the route reads it with `Number`. */
export const digits = v.nullish(v.pipe(v.string(), v.regex(/^\d{1,9}$/)));
