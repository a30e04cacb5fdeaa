// What the `claude` program prints with `--output-format stream-json`, one object a line, as far as a turn needs it.
import * as v from 'valibot';

const blockSchema = v.variant('type', [
  v.looseObject({ type: v.literal('text'), text: v.string() }),
  v.looseObject({ type: v.literal('thinking'), thinking: v.string() }),
  v.looseObject({ type: v.literal('tool_use'), id: v.string(), name: v.string(), input: v.optional(v.unknown()) }),
  v.looseObject({
    type: v.literal('tool_result'),
    tool_use_id: v.string(),
    content: v.optional(v.unknown()),
    is_error: v.nullish(v.boolean()),
  }),
]);
export type ClaudeBlock = v.InferOutput<typeof blockSchema>;

const count = v.optional(v.number(), 0);
const lineSchema = v.variant('type', [
  v.looseObject({ type: v.literal('system'), subtype: v.optional(v.string()), session_id: v.optional(v.string()) }),
  v.looseObject({
    type: v.picklist(['assistant', 'user']),
    message: v.looseObject({ content: v.union([v.string(), v.array(v.unknown())]) }),
  }),
  v.looseObject({
    type: v.literal('result'),
    subtype: v.optional(v.string(), ''),
    is_error: v.optional(v.boolean(), false),
    result: v.nullish(v.string()),
    session_id: v.optional(v.string()),
    total_cost_usd: v.optional(v.number()),
    usage: v.optional(
      v.looseObject({
        input_tokens: count,
        output_tokens: count,
        cache_read_input_tokens: count,
        cache_creation_input_tokens: count,
      }),
    ),
  }),
]);
export type ClaudeLine = v.InferOutput<typeof lineSchema>;
export type ClaudeResult = Extract<ClaudeLine, { type: 'result' }>;

/** Undefined for what a later version prints as well, and for what is no JSON. */
export function parseClaudeLine(line: string): ClaudeLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = v.safeParse(lineSchema, value);
  return parsed.success ? parsed.output : undefined;
}

/** Those that are known, in their order. */
export function blocksOf({ message: { content } }: Extract<ClaudeLine, { type: 'assistant' | 'user' }>): ClaudeBlock[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return content.flatMap((block) => {
    const parsed = v.safeParse(blockSchema, block);
    return parsed.success ? [parsed.output] : [];
  });
}

/** The text of a tool's result, which may be text or blocks. */
export function resultText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return content === undefined ? '' : JSON.stringify(content);
  return content.map((block: unknown) => textOf(block) ?? JSON.stringify(block)).join('\n');
}

function textOf(block: unknown): string | undefined {
  const isText = typeof block === 'object' && block !== null && 'text' in block && typeof block.text === 'string';
  return isText ? (block.text as string) : undefined;
}
