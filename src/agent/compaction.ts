// Makes a transcript smaller without breaking its form: old tool outputs go first, then whole old turns.
import type { ModelMessage } from '../protocol/model.ts';

/** Level 1 cuts tool outputs before the last turns, level 2 all of them harder, level 3 drops old turns. */
export const compactionLevelsMax = 3;

/** Messages at the end that level 1 leaves alone: about the last four turns, which the model is working with. */
const recentMessagesKept = 8;

/** What is left of an old tool output: enough to see that it ran and how it ended. */
const oldOutputCharactersMax = 200;

/** Level 2 keeps this much of the newest outputs, so that even one 100 kB output cannot fill the window. */
const newOutputCharactersMax = 4_000;

/** Size of the transcript as it goes over the wire, in bytes of JSON (UTF-16 length is close enough for a budget: it is checked, not trusted). */
export function transcriptBytes(transcript: readonly ModelMessage[]): number {
  let bytes = 0;
  for (const message of transcript) bytes += JSON.stringify(message).length;
  return bytes;
}

export function compact(transcript: readonly ModelMessage[], level: number): readonly ModelMessage[] {
  const firstRecent = Math.max(0, transcript.length - recentMessagesKept);
  if (level >= compactionLevelsMax) return dropOldTurns(compact(transcript, level - 1));
  return transcript.map((message, index) => {
    if (message.role !== 'tool') return message;
    const charactersMax = index < firstRecent ? oldOutputCharactersMax : level > 1 ? newOutputCharactersMax : Infinity;
    return message.content.length <= charactersMax
      ? message
      : { ...message, content: cut(message.content, charactersMax) };
  });
}

function cut(content: string, charactersMax: number): string {
  const kept = content.slice(0, charactersMax).replace(/[\uD800-\uDBFF]$/, ''); // never half an emoji
  return `${kept}\n[${content.length - kept.length} characters removed to save space]`;
}

/** Keeps the first user message and the newest half of the rest, cut where a turn begins. */
function dropOldTurns(transcript: readonly ModelMessage[]): readonly ModelMessage[] {
  const [first, ...rest] = transcript;
  if (first === undefined || rest.length < 4) return transcript;
  let start = Math.ceil(rest.length / 2);
  while (start < rest.length && rest[start]?.role === 'tool') start++;
  if (start >= rest.length) return transcript;
  const note: ModelMessage = { role: 'user', content: `[${start} earlier messages were removed to save space]` };
  return [first, note, ...rest.slice(start)];
}
