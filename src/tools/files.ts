// The skill `file_system`: tools that read, search and write files inside base directories.
import { readdirSync } from 'node:fs';
import * as v from 'valibot';
import type { ResolvedSkill } from '../protocol/tool.ts';
import {
  type SkillTools,
  type SkillType,
  namesSchema,
  parseConfiguration,
  setting,
  sizeSchema,
} from './configuration.ts';
import editFileText from './edit-file.txt' with { type: 'text' };
import { type FilePolicy, type FileScope, encodingOf, readLines, readText, writeText } from './file-access.ts';
import { searchContent, searchFiles } from './file-search.ts';
import listFilesText from './list-files.txt' with { type: 'text' };
import { fileProblem, resolvePath } from './paths.ts';
import readFileChunkText from './read-file-chunk.txt' with { type: 'text' };
import readFileText from './read-file.txt' with { type: 'text' };
import replaceFileChunkText from './replace-file-chunk.txt' with { type: 'text' };
import saveFileText from './save-file.txt' with { type: 'text' };
import searchContentText from './search-content.txt' with { type: 'text' };
import searchFilesText from './search-files.txt' with { type: 'text' };
import { type Tool, type ToolOutcome, type ToolRun, defineTool, failure } from './tool.ts';

const operations = ['read', 'write', 'list', 'search'] as const;

const entries = {
  base_dir: setting(v.pipe(v.string(), v.minLength(1)), 'where files may be; the workspace unless set'),
  allowed_paths: setting(namesSchema, 'further directories where files may be'),
  max_file_size: setting(sizeSchema, 'largest file that is read or written, such as `10MB`, which it is unless set'),
  operations: setting(v.array(v.picklist(operations)), 'what may be done; everything unless set'),
  enable_read_file: setting(v.boolean(), 'reading; goes before operations'),
  enable_save_file: setting(v.boolean(), 'writing; goes before operations'),
  enable_list_files: setting(v.boolean(), 'listing directories; goes before operations'),
  enable_search_files: setting(v.boolean(), 'searching; goes before operations'),
};

export const fileSystemSkill = {
  type: 'file_system',
  description: 'Read, search and write files',
  entries,
  variants: {
    read_only: {
      description: 'changes nothing',
      values: { enable_save_file: false },
      locked: ['enable_save_file'],
    },
    full_access: {
      description: 'the whole file system where base_dir and allowed_paths do not say otherwise',
      values: {},
    },
    sandboxed: {
      description: 'the workspace and nothing else',
      values: { base_dir: '.', allowed_paths: [] },
      locked: ['base_dir', 'allowed_paths'],
    },
  },
  create: createFileSystemTools,
} satisfies SkillType<typeof entries>;

type FileConfiguration = v.InferOutput<v.ObjectSchema<typeof entries, undefined>>;

/** Larger files are for programs, not for a transcript; read_file_chunk has no such limit. */
const fileBytesMaxDefault = 10 * 1024 * 1024;
/** A disk that needs longer than this is not going to answer. */
const fileTimeoutMs = 30_000;
const searchTimeoutMs = 60_000;
/** Names or lines in one answer; a narrower search says more than a longer list. */
const resultsMax = 500;

/** The same tools for writing results; without variants, and never beyond the workspace unless it is told where. */
export const fileGenerationSkill = {
  type: 'file_generation',
  description: 'Write files as results',
  entries,
  variants: {},
  create: createFileGenerationTools,
} satisfies SkillType<typeof entries>;

function createFileSystemTools(skill: ResolvedSkill): SkillTools {
  return createFileTools(skill, fileSystemSkill);
}

function createFileGenerationTools(skill: ResolvedSkill): SkillTools {
  return createFileTools(skill, fileGenerationSkill);
}

function createFileTools(
  skill: ResolvedSkill,
  declaration: Pick<SkillType<typeof entries>, 'entries' | 'variants'>,
): SkillTools {
  const parsed = parseConfiguration(skill, declaration);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const { configuration, variant, problems } = parsed;
  const policy: FilePolicy = {
    baseDirectories: baseDirectoriesOf(configuration, variant === 'full_access' ? '/' : '.'),
    fileBytesMax: configuration.max_file_size ?? fileBytesMaxDefault,
  };
  const may = (operation: (typeof operations)[number], isEnabled: boolean | undefined): boolean =>
    isEnabled ?? configuration.operations?.includes(operation) ?? true;
  const mayWrite = may('write', configuration.enable_save_file);
  const mayRead = may('read', configuration.enable_read_file);
  const maySearch = may('search', configuration.enable_search_files);
  const tools = [
    ...(mayRead ? [createReadFile(policy), createReadFileChunk(policy)] : []),
    ...(may('list', configuration.enable_list_files) ? [createListFiles(policy)] : []),
    ...(maySearch ? [createSearchFiles(policy)] : []),
    ...(maySearch && mayRead ? [createSearchContent(policy)] : []),
    ...(mayWrite ? [createSaveFile(policy)] : []),
    ...(mayWrite && mayRead ? [createEditFile(policy), createReplaceFileChunk(policy)] : []),
  ];
  return { tools, problems };
}

function baseDirectoriesOf(configuration: FileConfiguration, otherwise: string): string[] {
  const named = [
    ...(configuration.base_dir === undefined ? [] : [configuration.base_dir]),
    ...(configuration.allowed_paths ?? []),
  ];
  return named.length > 0 ? named : [otherwise];
}

/** Reading inside the workspace, for skills that only need to look at their own files. */
export function createWorkspaceReadTools(): readonly Tool[] {
  const policy: FilePolicy = { baseDirectories: ['.'], fileBytesMax: fileBytesMaxDefault };
  return [createReadFile(policy), createListFiles(policy)];
}

const fileName = v.pipe(v.string(), v.minLength(1), v.description('Path of the file; relative to the workspace'));
const directory = v.optional(v.pipe(v.string(), v.minLength(1), v.description('Default: the workspace')));
const encoding = v.optional(v.pipe(v.string(), v.description('utf-8 (default), latin-1 or utf-16le')));
const lineNumber = v.pipe(v.number(), v.integer(), v.minValue(1));

function scopeOf(run: ToolRun, policy: FilePolicy): FileScope {
  return { workspace: run.workspace, policy, signal: run.signal };
}

function success(output: string): ToolOutcome {
  return { status: 'success', output };
}

function createReadFile(policy: FilePolicy): Tool {
  return defineTool({
    name: 'read_file',
    description: readFileText,
    input: v.strictObject({ file_name: fileName, encoding }),
    effect: 'read_only',
    timeoutMs: fileTimeoutMs,
    run: async (given, run) => {
      const text = await readText(given.file_name, scopeOf(run, policy), { encoding: given.encoding });
      return text.ok ? success(text.value === '' ? '[the file is empty]' : text.value) : failure(text.problem);
    },
  });
}

function createReadFileChunk(policy: FilePolicy): Tool {
  return defineTool({
    name: 'read_file_chunk',
    description: readFileChunkText,
    input: v.strictObject({ file_name: fileName, start_line: lineNumber, end_line: lineNumber, encoding }),
    effect: 'read_only',
    timeoutMs: fileTimeoutMs,
    run: async (given, run) => {
      if (given.end_line < given.start_line) return failure('end_line is before start_line');
      const coding = encodingOf(given.encoding);
      if (!coding.ok) return failure(coding.problem);
      const range = {
        first: given.start_line,
        last: given.end_line,
        bytesMax: run.outputBytesMax,
        encoding: coding.value,
      };
      const chunk = await readLines(given.file_name, scopeOf(run, policy), range);
      if (!chunk.ok) return failure(chunk.problem);
      const { lines, lineCount } = chunk.value;
      if (lines.length > 0) return success(lines.join('\n'));
      return failure(`${given.file_name} has only ${lineCount ?? 0} lines`);
    },
  });
}

function createListFiles(policy: FilePolicy): Tool {
  return defineTool({
    name: 'list_files',
    description: listFilesText,
    input: v.strictObject({ directory }),
    effect: 'read_only',
    timeoutMs: fileTimeoutMs,
    run: async (given, run) => {
      const name = given.directory ?? '.';
      const target = resolvePath(name, run.workspace, policy);
      if (!target.ok) return failure(target.problem);
      try {
        const entries = readdirSync(target.path, { withFileTypes: true });
        const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
        return success(listing(names.slice(0, resultsMax), names.length <= resultsMax));
      } catch (error) {
        return failure(fileProblem(error, name));
      }
    },
  });
}

function createSearchFiles(policy: FilePolicy): Tool {
  return defineTool({
    name: 'search_files',
    description: searchFilesText,
    input: v.strictObject({ pattern: v.pipe(v.string(), v.minLength(1), v.maxLength(1_000)), directory }),
    effect: 'read_only',
    timeoutMs: searchTimeoutMs,
    run: async (given, run) => {
      const request = { directory: given.directory, pattern: given.pattern, resultsMax };
      const found = await searchFiles(request, scopeOf(run, policy));
      return found.ok ? success(listing(found.value.paths, found.value.isComplete)) : failure(found.problem);
    },
  });
}

function createSearchContent(policy: FilePolicy): Tool {
  return defineTool({
    name: 'search_content',
    description: searchContentText,
    input: v.strictObject({
      text: v.pipe(v.string(), v.minLength(1), v.description('Found literally, within one line')),
      directory,
      file_pattern: v.optional(
        v.pipe(v.string(), v.maxLength(1_000), v.description('Only in files that match, e.g. `*.py`')),
      ),
      ignore_case: v.optional(v.boolean()),
    }),
    effect: 'read_only',
    timeoutMs: searchTimeoutMs,
    run: async (given, run) => {
      const request = {
        directory: given.directory,
        pattern: given.file_pattern,
        text: given.text,
        ignoresCase: given.ignore_case ?? false,
        resultsMax,
      };
      const found = await searchContent(request, scopeOf(run, policy));
      return found.ok ? success(listing(found.value.lines, found.value.isComplete)) : failure(found.problem);
    },
  });
}

function listing(items: readonly string[], isComplete: boolean): string {
  if (items.length === 0) return isComplete ? '[nothing found]' : '[nothing found before the search ended; narrow it]';
  return isComplete ? items.join('\n') : `${items.join('\n')}\n[there is more; narrow the search]`;
}

function createSaveFile(policy: FilePolicy): Tool {
  return defineTool({
    name: 'save_file',
    description: saveFileText,
    input: v.strictObject({
      contents: v.string(),
      file_name: fileName,
      overwrite: v.optional(v.boolean(), true),
      encoding,
    }),
    effect: 'side_effecting',
    timeoutMs: fileTimeoutMs,
    run: async (given, run) => {
      const options = { encoding: given.encoding, mayReplace: given.overwrite };
      const written = writeText(given.file_name, given.contents, scopeOf(run, policy), options);
      return written.ok ? success(`Saved ${written.value} bytes to ${given.file_name}`) : failure(written.problem);
    },
  });
}

function createEditFile(policy: FilePolicy): Tool {
  return defineTool({
    name: 'edit_file',
    description: editFileText,
    input: v.strictObject({
      file_name: fileName,
      old_text: v.pipe(v.string(), v.minLength(1)),
      new_text: v.string(),
      replace_all: v.optional(v.boolean(), false),
    }),
    effect: 'side_effecting',
    timeoutMs: fileTimeoutMs,
    run: async (given, run) => {
      const scope = scopeOf(run, policy);
      const text = await readText(given.file_name, scope, { isExact: true });
      if (!text.ok) return failure(text.problem);
      const parts = text.value.split(likeLinesOf(text.value, given.old_text));
      const count = parts.length - 1;
      if (count === 0)
        return failure(`old_text was not found in ${given.file_name}; read the file and copy it exactly`);
      if (count > 1 && !given.replace_all) {
        return failure(`old_text occurs ${count} times in ${given.file_name}; give more context or set replace_all`);
      }
      const written = writeText(given.file_name, parts.join(likeLinesOf(text.value, given.new_text)), scope, {
        mayReplace: true,
      });
      return written.ok ? success(`Replaced ${count} in ${given.file_name}`) : failure(written.problem);
    },
  });
}

function createReplaceFileChunk(policy: FilePolicy): Tool {
  return defineTool({
    name: 'replace_file_chunk',
    description: replaceFileChunkText,
    input: v.strictObject({
      file_name: fileName,
      start_line: lineNumber,
      end_line: lineNumber,
      chunk: v.string(),
      encoding,
    }),
    effect: 'side_effecting',
    timeoutMs: fileTimeoutMs,
    run: async (given, run) => {
      if (given.end_line < given.start_line) return failure('end_line is before start_line');
      const scope = scopeOf(run, policy);
      const text = await readText(given.file_name, scope, { encoding: given.encoding, isExact: true });
      if (!text.ok) return failure(text.problem);
      const lines = text.value.split('\n');
      // A newline at the end does not begin another line.
      const lineCount = lines.at(-1) === '' ? lines.length - 1 : lines.length;
      if (given.end_line > lineCount) return failure(`${given.file_name} has only ${lineCount} lines`);
      const chunk = likeLinesOf(text.value, given.chunk.endsWith('\n') ? given.chunk : `${given.chunk}\n`);
      const replacement = given.chunk === '' ? [] : chunk.slice(0, -1).split('\n');
      lines.splice(given.start_line - 1, given.end_line - given.start_line + 1, ...replacement);
      const options = { encoding: given.encoding, mayReplace: true };
      const written = writeText(given.file_name, lines.join('\n'), scope, options);
      return written.ok ? success(`Replaced lines in ${given.file_name}`) : failure(written.problem);
    },
  });
}

/** Models write `\n`; a file with Windows line ends keeps them. */
function likeLinesOf(file: string, text: string): string {
  return file.includes('\r\n') ? text.replaceAll(/\r?\n/g, '\r\n') : text;
}
