// Makes a transcript smaller without breaking its form: old tool outputs go first, then whole old turns.
import type { ModelMessage } from '../protocol/model.ts';
import type { AgentLimits } from './state.ts';

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

/** After a cut the transcript has room for some turns, so that the provider's prompt cache is not lost at each. */
const roomAfterCut = 0.6;
/** The newest turns that a summary leaves as they are, as a part of what is allowed. */
const keptBesideSummary = 0.3;
/** Fewer messages than this are not worth a model call. */
const summarizedMessagesMin = 4;

/** JSON bytes that this transcript has to be cut to; undefined when it may stay as it is. */
export function bytesAllowed(
  transcript: readonly ModelMessage[],
  contextTokens: number | undefined,
  { transcriptBytesMax, contextTokensMax }: AgentLimits,
): number | undefined {
  const bytes = transcriptBytes(transcript);
  const isOverWindow =
    contextTokensMax !== undefined && contextTokens !== undefined && contextTokens > contextTokensMax;
  const byTokens = isOverWindow ? Math.floor((bytes * contextTokensMax) / contextTokens) : Infinity;
  const allowed = Math.min(transcriptBytesMax, byTokens);
  return bytes > allowed ? allowed : undefined;
}

/** Cuts to `allowed`: outputs from the oldest on, then the newest ones too, then whole old turns. */
export function shrink(transcript: readonly ModelMessage[], allowed: number): readonly ModelMessage[] {
  let shrunk = cutOldOutputs(transcript, allowed * roomAfterCut);
  if (transcriptBytes(shrunk) > allowed) shrunk = compact(shrunk, 2);
  // Each round removes half of what is left.
  for (let length = shrunk.length + 1; shrunk.length < length && transcriptBytes(shrunk) > allowed;) {
    length = shrunk.length;
    shrunk = dropOldTurns(shrunk);
  }
  return shrunk;
}

/** Where the part begins that a summary leaves alone; undefined when cutting outputs is enough, or little would be summed up. */
export function summaryEnd(transcript: readonly ModelMessage[], allowed: number): number | undefined {
  if (transcriptBytes(cutOldOutputs(transcript, allowed * roomAfterCut)) <= allowed * roomAfterCut) return undefined;
  let start = transcript.length;
  for (let bytes = 0; start > 0; start--) {
    bytes += JSON.stringify(transcript[start - 1]).length;
    if (bytes > allowed * keptBesideSummary) break;
  }
  // A result stays with the call that it answers.
  while (start > 0 && (start === transcript.length || transcript[start]?.role === 'tool')) start--;
  return start < summarizedMessagesMin ? undefined : start;
}

/** What the model is given to sum up: every output cut short. */
export function forSummary(transcript: readonly ModelMessage[]): readonly ModelMessage[] {
  return transcript.map((message) =>
    message.role === 'tool' ? { ...message, content: cutTo(message.content, summarizedOutputCharactersMax) } : message,
  );
}

/** Enough of an output to say what it showed. */
const summarizedOutputCharactersMax = 2_000;

/** From the oldest on, and not those of the last turn, which the model has not read yet. */
function cutOldOutputs(transcript: readonly ModelMessage[], goalBytes: number): readonly ModelMessage[] {
  const lastTurn = transcript.findLastIndex((message) => message.role === 'assistant');
  let bytes = transcriptBytes(transcript);
  return transcript.map((message, index) => {
    if (bytes <= goalBytes || message.role !== 'tool' || index > lastTurn) return message;
    const shorter = { ...message, content: cutTo(message.content, oldOutputCharactersMax) };
    bytes -= JSON.stringify(message).length - JSON.stringify(shorter).length;
    return shorter;
  });
}

export function compact(transcript: readonly ModelMessage[], level: number): readonly ModelMessage[] {
  const firstRecent = Math.max(0, transcript.length - recentMessagesKept);
  if (level >= compactionLevelsMax) return dropOldTurns(compact(transcript, level - 1));
  return transcript.map((message, index) => {
    if (message.role !== 'tool') return message;
    const charactersMax = index < firstRecent ? oldOutputCharactersMax : level > 1 ? newOutputCharactersMax : Infinity;
    return { ...message, content: cutTo(message.content, charactersMax) };
  });
}

function cutTo(content: string, charactersMax: number): string {
  // What was cut before is not cut again for the sake of its note.
  if (content.length <= charactersMax + cutNoteCharactersMax) return content;
  const kept = content.slice(0, charactersMax).replace(/[\uD800-\uDBFF]$/, ''); // never half an emoji
  return `${kept}\n[${content.length - kept.length} characters removed to save space]`;
}

/** The sentence below with a long number. */
const cutNoteCharactersMax = 60;

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
