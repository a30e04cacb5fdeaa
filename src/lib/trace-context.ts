// The W3C trace context of whoever asked for an execution (https://www.w3.org/TR/trace-context/#traceparent-header).

export interface TraceParent {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** Of the caller's span: 16 hexadecimal digits. */
  readonly spanId: string;
  readonly isSampled: boolean;
}

/** Undefined for what is none: it is to be treated as if nothing had been sent. */
export function parseTraceParent(text: string | undefined): TraceParent | undefined {
  // A later version may add fields at its end.
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text ?? '');
  const [, version, traceId = '', spanId = '', flags = '', rest] = match ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}
