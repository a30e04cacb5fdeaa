// Skill folders on the worker's disk (`--skill-dir`): instructions that the model reads on demand, skills, and MCP servers.
import { readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, join, relative, resolve, sep } from 'node:path';
import * as v from 'valibot';
import { parse as parseYaml } from 'yaml';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';
import { readTextFile } from '../lib/bounded-file.ts';
import { cutHead } from '../lib/text.ts';
import type { ResolvedSkill } from '../protocol/tool.ts';
import readSkillDescription from './read-skill.txt';
import { defineTool, failure, type Tool } from './tool.ts';

/** Instructions for the model, as the open Agent Skills format has them; holds no secret: it is in the history. */
export interface SkillInstructions {
  readonly name: string;
  readonly description: string;
  /** Absolute path of the folder. */
  readonly path: string;
}

export interface SkillFolders {
  readonly instructions: readonly SkillInstructions[];
  readonly skills: readonly ResolvedSkill[];
  /** As they are written, by name. */
  readonly mcpServers: Readonly<Record<string, unknown>>;
}

const instructionsFile = 'SKILL.md';
const skillFiles = ['skill.yaml', 'skill.yml'] as const;
const serverFiles = ['mcp.json', '.mcp.json'] as const;
const markers: readonly string[] = [instructionsFile, ...skillFiles, ...serverFiles];

/** Of one file; a model that reads more of instructions has no room for its task. */
const fileBytesMax = 256 * 1024;
/** Of one description: all of them are in every model call. */
const descriptionBytesMax = 1_024;
/** Skills in one execution; with descriptions of 1 kB each they would fill a prompt. */
const skillsMax = 100;
/** Names of a skill's files that the model is told. */
const filesListedMax = 200;
const depthMax = 4;

const frontMatterSchema = v.looseObject({ name: v.optional(v.string()), description: v.optional(v.string()) });
const skillSchema = v.object({
  name: v.optional(v.string()),
  type: v.pipe(v.string(), v.minLength(1)),
  description: v.optional(v.string()),
  enabled: v.optional(v.boolean(), true),
  configuration: v.optional(v.record(v.string(), v.unknown()), {}),
});
const skillFileSchema = v.union([
  v.pipe(
    v.strictObject({ skills: v.array(skillSchema) }),
    v.transform(({ skills }) => skills),
  ),
  v.pipe(
    skillSchema,
    v.transform((skill) => [skill]),
  ),
]);
const serverFileSchema = v.pipe(
  v.looseObject({
    mcpServers: v.optional(v.record(v.string(), v.unknown())),
    servers: v.optional(v.record(v.string(), v.unknown())),
  }),
  v.transform(({ mcpServers, servers }) => mcpServers ?? servers ?? {}),
);

/** Each directory is a skill folder, or holds some. Throws a KubiyaError that names what is wrong. */
export function readSkillFolders(directories: readonly string[]): SkillFolders {
  const folders = directories.flatMap(skillFoldersIn);
  if (folders.length > skillsMax) {
    throw unusable(`${directories.join(', ')}: more than ${skillsMax} skills`, 'name the folders of single skills');
  }
  const instructions: SkillInstructions[] = [];
  const skills: ResolvedSkill[] = [];
  const mcpServers: Record<string, unknown> = {};
  for (const folder of folders) {
    const names = new Set(readdirSync(folder));
    if (names.has(instructionsFile)) instructions.push(readInstructions(folder));
    for (const file of skillFiles) if (names.has(file)) skills.push(...readSkills(folder, file));
    for (const file of serverFiles) if (names.has(file)) Object.assign(mcpServers, readServers(folder, file));
  }
  return { instructions, skills, mcpServers };
}

function skillFoldersIn(directory: string): string[] {
  const path = resolve(directory);
  const names = namesIn(path).toSorted();
  if (names.some((name) => markers.includes(name))) return [path];
  const folders = names
    .map((name) => join(path, name))
    .filter(isDirectory)
    .filter((child) => namesIn(child).some((name) => markers.includes(name)));
  if (folders.length > 0) return folders;
  throw unusable(
    `the skill folder ${path} holds no skill`,
    `a skill is a folder with ${markers.slice(0, 2).join(', ')} or mcp.json`,
  );
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    const code = errnoOf(error);
    const what = code === 'ENOENT' ? 'does not exist' : code === 'ENOTDIR' ? 'is not a directory' : messageOf(error);
    throw unusable(`the skill folder ${path} ${what}`, 'the path is one of the machine where the worker runs');
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch {
    // A link that leads to itself.
    return false;
  }
}

function readInstructions(folder: string): SkillInstructions {
  const path = join(folder, instructionsFile);
  const text = read(path);
  const [, front = ''] = /^---\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(text) ?? [];
  const { name, description } = parsed(path, frontMatterSchema, () =>
    front === '' ? {} : (parseYaml(front) as unknown),
  );
  return {
    name: name ?? basename(folder),
    description: cutHead((description ?? firstLine(text)).replaceAll(/\s+/g, ' ').trim(), descriptionBytesMax),
    path: folder,
  };
}

function firstLine(text: string): string {
  const line = text.split('\n').find((candidate) => candidate.trim() !== '' && !candidate.startsWith('---'));
  return line?.replace(/^#+\s*/, '') ?? '';
}

function readSkills(folder: string, file: string): ResolvedSkill[] {
  const path = join(folder, file);
  return parsed(path, skillFileSchema, () => parseYaml(read(path)) as unknown).map(
    ({ name, description, ...skill }) => {
      const known = name ?? basename(folder);
      return { id: `${folder}#${known}`, name: known, description: description ?? null, ...skill };
    },
  );
}

function readServers(folder: string, file: string): Record<string, unknown> {
  const path = join(folder, file);
  const text = read(path).replaceAll('${SKILL_DIR}', JSON.stringify(folder).slice(1, -1));
  return parsed(path, serverFileSchema, () => JSON.parse(text) as unknown);
}

function read(path: string): string {
  try {
    return readTextFile(path, fileBytesMax);
  } catch (error) {
    throw unusable(
      `the skill file ${path} cannot be read: ${messageOf(error)}`,
      'correct the file, or leave its folder out',
    );
  }
}

function parsed<TSchema extends v.GenericSchema>(
  path: string,
  schema: TSchema,
  parse: () => unknown,
): v.InferOutput<TSchema> {
  const hint = 'correct the file, or leave its folder out';
  let value: unknown;
  try {
    value = parse();
  } catch (error) {
    throw unusable(`the skill file ${path} is not valid: ${messageOf(error).split('\n')[0] ?? ''}`, hint);
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const where = v.getDotPath(issue);
  throw unusable(`the skill file ${path} is not valid: ${where === null ? '' : `${where}: `}${issue.message}`, hint);
}

function unusable(sentence: string, hint: string): KubiyaError {
  return new KubiyaError(sentence, { kind: 'configuration', code: 'skill_folder_unusable', hint });
}

/** Skills are usually a handful and their files short; a reading of one is bounded as every output. */
const readTimeoutMs = 10_000;

const readSkillInput = v.object({
  name: v.pipe(v.string(), v.description('Name of the skill.')),
  file: v.optional(v.pipe(v.string(), v.description('Path within the skill, as it was listed.'))),
});

/** The tool that gives the model what the folders say; none without instructions. */
export function createSkillReader(skills: readonly SkillInstructions[]): Tool[] {
  if (skills.length === 0) return [];
  const byName = new Map(skills.map((skill) => [skill.name, skill]));
  const list = [...byName.values()].map(({ name, description }) => `- ${name}: ${description}`).join('\n');
  return [
    defineTool({
      name: 'read_skill',
      description: `${readSkillDescription.trim()}\nThe skills are:\n${list}`,
      input: readSkillInput,
      effect: 'read_only',
      timeoutMs: readTimeoutMs,
      run: async ({ name, file }) => {
        const skill = byName.get(name);
        if (skill === undefined)
          return failure(`There is no skill named ${name}: the skills are ${[...byName.keys()].join(', ')}`);
        try {
          return { status: 'success', output: file === undefined ? overview(skill) : readInside(skill, file) };
        } catch (error) {
          return failure(`The skill's ${file ?? instructionsFile} cannot be read: ${messageOf(error)}`);
        }
      },
    }),
  ];
}

function overview(skill: SkillInstructions): string {
  const others = filesOf(skill.path).filter((path) => path !== instructionsFile);
  const list = others.length === 0 ? '' : `\n\n[Files of this skill, in ${skill.path}:\n${others.join('\n')}]`;
  return `${readInside(skill, instructionsFile)}${list}`;
}

/** A link that leads out of the folder is refused: the model names the file. */
function readInside({ path }: SkillInstructions, file: string): string {
  const root = realpathSync(path);
  const target = realpathSync(resolve(root, file));
  if (target !== root && !target.startsWith(`${root}${sep}`)) throw new Error('it is outside the skill');
  return readTextFile(target, fileBytesMax);
}

function filesOf(root: string): string[] {
  const found: string[] = [];
  const walk = (directory: string, depth: number): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true }).toSorted((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      if (found.length >= filesListedMax || entry.name.startsWith('.')) continue;
      const path = join(directory, entry.name);
      if (entry.isDirectory() && depth < depthMax) walk(path, depth + 1);
      else if (entry.isFile()) found.push(relative(root, path));
    }
  };
  walk(root, 1);
  return found;
}
