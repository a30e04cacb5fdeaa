// What a server answered as the model reads it: texts as they are, everything else as files of the workspace.
import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CallToolResult, GetPromptResult, ReadResourceResult } from '@modelcontextprotocol/client';
import { messageOf } from '../../errors.ts';
import { writeFileAtomic } from '../../lib/atomic-file.ts';
import { createOutputBuffer } from '../../lib/text.ts';
import { failure, type ToolOutcome } from '../tool.ts';

/** Where files of a call go. */
export interface ContentPlace {
  readonly callId: string;
  /** Absolute path of an existing directory. */
  readonly workspace: string;
  readonly outputBytesMax: number;
}

type Block = CallToolResult['content'][number];
type ResourceContents = ReadResourceResult['contents'][number];

/** Room for the line that says how much is left out. */
const cutNoteBytes = 100;
/** In the workspace; the model is told each file's path. */
const directoryName = 'mcp-files';
const extensions: Readonly<Record<string, string>> = {
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/gif': 'gif',
  'image/webp': 'webp',
  'image/svg+xml': 'svg',
  'audio/wav': 'wav',
  'audio/mpeg': 'mp3',
  'audio/ogg': 'ogg',
  'application/pdf': 'pdf',
  'application/json': 'json',
  'application/zip': 'zip',
  'application/gzip': 'gz',
  'text/plain': 'txt',
  'text/html': 'html',
  'text/csv': 'csv',
};

export function toolOutcome(result: CallToolResult, place: ContentPlace): ToolOutcome {
  return asOutcome(place, (files) => {
    const parts = result.content.map((block) => blockText(block, files));
    const structured = result.structuredContent;
    if (structured !== undefined && !isSaid(structured, result.content))
      parts.push(JSON.stringify(structured, null, 2));
    const output = parts.join('\n');
    if (result.isError !== true)
      return { status: 'success', output: output === '' ? 'Done; the server gave no output' : output };
    return failure(output === '' ? 'The server says that the call failed, without a reason' : output);
  });
}

export function resourceOutcome({ contents }: ReadResourceResult, place: ContentPlace): ToolOutcome {
  return asOutcome(place, (files) => {
    const output = contents.map((one) => resourceText(one, files)).join('\n');
    return { status: 'success', output: output === '' ? 'The resource is empty' : output };
  });
}

export function promptOutcome({ description, messages }: GetPromptResult, place: ContentPlace): ToolOutcome {
  return asOutcome(place, (files) => {
    const lines = messages.map(({ role, content }) => `${role}: ${blockText(content, files)}`);
    return { status: 'success', output: [...(description === undefined ? [] : [description]), ...lines].join('\n') };
  });
}

interface Files {
  /** Its path, relative to the workspace. */
  save(data: Uint8Array, mimeType: string | undefined): string;
}

function asOutcome(place: ContentPlace, render: (files: Files) => ToolOutcome): ToolOutcome {
  try {
    const files = createFiles(place);
    const outcome = render(files);
    const bytes = Buffer.byteLength(outcome.output);
    if (bytes <= place.outputBytesMax) return outcome;
    const path = files.save(Buffer.from(outcome.output), 'text/plain');
    const note = `[${bytes} bytes; the whole text is in ${path}]\n`;
    const buffer = createOutputBuffer({ bytesMax: place.outputBytesMax - note.length - cutNoteBytes });
    buffer.push(outcome.output);
    return { ...outcome, output: `${note}${buffer.text()}`, originalBytes: bytes };
  } catch (error) {
    return failure(`The call was made, and its result could not be kept as a file: ${messageOf(error)}`);
  }
}

function createFiles({ callId, workspace }: ContentPlace): Files {
  const stem = callId.replaceAll(/[^A-Za-z0-9_-]/g, '-');
  let count = 0;
  return {
    save: (data, mimeType) => {
      const directory = join(workspace, directoryName);
      mkdirSync(directory, { recursive: true });
      if (lstatSync(directory).isSymbolicLink()) throw new Error(`${directoryName} is a symbolic link`);
      count += 1;
      const extension = extensions[mimeType?.split(';')[0]?.trim().toLowerCase() ?? ''] ?? 'bin';
      const name = `${stem}-${count}.${extension}`;
      writeFileAtomic(join(directory, name), data, { mode: 0o644 });
      return `${directoryName}/${name}`;
    },
  };
}

function blockText(block: Block, files: Files): string {
  switch (block.type) {
    case 'text':
      return block.text;
    case 'image':
    case 'audio':
      return savedText(block.type, block.data, block.mimeType, files);
    case 'resource':
      return resourceText(block.resource, files);
    case 'resource_link':
      return `[${block.uri} - ${block.title ?? block.name}${block.mimeType === undefined ? '' : `; ${block.mimeType}`}]`;
    default:
      // A kind of a later protocol.
      return JSON.stringify(block);
  }
}

function resourceText(resource: ResourceContents, files: Files): string {
  if ('text' in resource && typeof resource.text === 'string') return `[${resource.uri}]\n${resource.text}`;
  if ('blob' in resource && typeof resource.blob === 'string') {
    return `[${resource.uri}]\n${savedText('resource', resource.blob, resource.mimeType, files)}`;
  }
  return `[${resource.uri}]`;
}

function savedText(what: string, base64: string, mimeType: string | undefined, files: Files): string {
  const data = Buffer.from(base64, 'base64');
  return `[${what}${mimeType === undefined ? '' : ` ${mimeType}`}, ${data.length} bytes, saved as ${files.save(data, mimeType)}]`;
}

/** Servers are asked to give structured content as text as well. */
function isSaid(structured: unknown, content: readonly Block[]): boolean {
  const expected = JSON.stringify(structured);
  return content.some((block) => {
    if (block.type !== 'text') return false;
    try {
      return JSON.stringify(JSON.parse(block.text)) === expected;
    } catch {
      return false;
    }
  });
}
