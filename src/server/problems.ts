// Errors as answers: every refusal has a status, a code, a sentence and a hint, and nothing internal leaves the server.
import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { KubiyaError, messageOf } from '../errors.ts';
import { createId } from '../lib/ids.ts';
import type { Log } from '../telemetry/log.ts';
import { isStorageFailure } from './store/database.ts';
import { TemporalError } from './temporal.ts';

export interface ProblemOptions {
  readonly code: string;
  readonly hint?: string | undefined;
  readonly retryable?: boolean | undefined;
  /** More fields beside `detail`, for programs. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined;
  readonly cause?: unknown;
}

/** Thrown by a route; answered as `{detail, code, hint, retryable}`. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  readonly status: ContentfulStatusCode;
  readonly options: ProblemOptions;

  constructor(status: ContentfulStatusCode, detail: string, options: ProblemOptions) {
    super(detail, { cause: options.cause });
    this.status = status;
    this.options = options;
  }
}

export function notFound(noun: string, idOrName: string, hint?: string): HttpProblem {
  // The name comes from the path, so it is shown cut: it may be as long as a URL.
  const detail = `There is no ${noun} ${JSON.stringify(idOrName.slice(0, 100))}`;
  return new HttpProblem(404, detail, { code: `${noun.replaceAll(' ', '_')}_not_found`, hint });
}

/** The one place where errors become answers. */
export function answerProblem(error: unknown, context: Context, log: Log): Response {
  const problem = problemOf(error, log, `${context.req.method} ${context.req.path}`);
  const { code, hint, retryable, extra } = problem.options;
  return context.json({ detail: problem.message, code, hint, retryable: retryable ?? false, ...extra }, problem.status);
}

function problemOf(error: unknown, log: Log, request: string): HttpProblem {
  if (error instanceof HttpProblem) return error;
  if (error instanceof HTTPException) {
    const code = error.status === 413 ? 'body_too_large' : error.status === 400 ? 'malformed_json' : 'invalid_request';
    return new HttpProblem(error.status, error.message, { code });
  }
  const id = createId();
  log.error('A request failed', { request, error_id: id, error, cause: causeOf(error) });
  if (isStorageFailure(error)) {
    return new HttpProblem(507, 'The disk of the control plane is full or cannot be written', {
      code: 'disk_full',
      hint: 'free some space on the machine of the control plane; nothing of this request was stored',
      retryable: true,
      extra: { error_id: id },
    });
  }
  if (error instanceof TemporalError) return temporalProblem(error, { error_id: id });
  if (error instanceof KubiyaError && error.isRetryable) {
    return new HttpProblem(503, error.message, { code: error.code, retryable: true, extra: { error_id: id } });
  }
  return new HttpProblem(500, 'The control plane failed at this request', {
    code: 'internal',
    hint: `search its log for ${id}`,
    extra: { error_id: id },
  });
}

export function temporalProblem(error: TemporalError, extra: Readonly<Record<string, unknown>>): HttpProblem {
  return error.kind === 'unavailable'
    ? new HttpProblem(503, error.message, {
        code: 'temporal_unavailable',
        hint: 'it is tried again by itself; kubiya server status shows what is wrong',
        retryable: true,
        extra,
        cause: error,
      })
    : new HttpProblem(502, error.message, { code: `temporal_${error.kind}`, extra, cause: error });
}

function causeOf(error: unknown): string | undefined {
  return error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : undefined;
}
