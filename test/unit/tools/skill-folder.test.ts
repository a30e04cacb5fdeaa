// Skill folders: what they may hold, what is wrong with them, and that the reader stays inside.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { KubiyaError } from '../../../src/errors.ts';
import { createSkillReader, readSkillFolders } from '../../../src/tools/skill-folder.ts';

let root = '';
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'kubiya-skills-'))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function problemOf(directory = root): string {
  try {
    readSkillFolders([directory]);
  } catch (error) {
    if (error instanceof KubiyaError && error.hint !== undefined) return error.message;
    throw error;
  }
  return 'none';
}

const read = async (values: object): Promise<string> => {
  const [tool] = createSkillReader(readSkillFolders([root]).instructions);
  const context = { signal: new AbortController().signal, limits: {}, onOutput: () => undefined } as never;
  return (await tool?.run(JSON.stringify(values), context))?.output ?? 'no tool';
};

test('a folder is a skill, or holds some', () => {
  write('b/SKILL.md', '---\nname: second\ndescription: >\n  does\n  this\n---\nbody');
  write('a/SKILL.md', '# The first thing\nbody');
  write('a/skill.yaml', 'type: shell\nconfiguration: { allowed_commands: [ls] }');
  write('c/skill.yml', 'skills:\n  - { name: one, type: shell }\n  - { name: two, type: python, enabled: false }');
  write('c/.mcp.json', '{"mcpServers":{"docs":{"command":"${SKILL_DIR}/run"}}}');
  write('nothing/README.md', '');
  symlinkSync('loop', join(root, 'loop'));
  const all = readSkillFolders([root]);
  expect(all.instructions).toEqual([
    { name: 'a', description: 'The first thing', path: join(root, 'a') },
    { name: 'second', description: 'does this', path: join(root, 'b') },
  ]);
  expect(all.skills).toMatchObject([
    { name: 'a', type: 'shell', enabled: true, configuration: { allowed_commands: ['ls'] } },
    { name: 'one', type: 'shell' },
    { name: 'two', type: 'python', enabled: false },
  ]);
  expect(all.mcpServers).toEqual({ docs: { command: join(root, 'c/run') } });
  expect(readSkillFolders([join(root, 'a')]).instructions).toHaveLength(1);
  expect(readSkillFolders([])).toEqual({ instructions: [], skills: [], mcpServers: {} });
});

test('what is wrong is said with its path', () => {
  expect(problemOf()).toBe(`the skill folder ${root} holds no skill`);
  expect(problemOf(join(root, 'nowhere'))).toBe(`the skill folder ${join(root, 'nowhere')} does not exist`);
  write('file', '');
  expect(problemOf(join(root, 'file'))).toContain('is not a directory');
  write('skill.yaml', 'name: x');
  expect(problemOf()).toContain(`${join(root, 'skill.yaml')} is not valid`);
  write('skill.yaml', 'a: [');
  expect(problemOf()).toContain('is not valid');
  rmSync(join(root, 'skill.yaml'));
  write('mcp.json', '{');
  expect(problemOf()).toContain(`${join(root, 'mcp.json')} is not valid`);
  rmSync(join(root, 'mcp.json'));
  write('SKILL.md', '---\nname: [a\n---\n');
  expect(problemOf()).toContain('is not valid');
  write('SKILL.md', 'x'.repeat(300_000));
  expect(problemOf()).toContain('is larger than 256 KiB');
  rmSync(join(root, 'SKILL.md'));
  mkdirSync(join(root, 'SKILL.md'));
  expect(problemOf()).toContain('is a directory');
});

test('the reader gives a skill and its files, and nothing beside it', async () => {
  write('greet/SKILL.md', '---\nname: greet\n---\nSay hello.');
  write('greet/more/words.md', 'Servus');
  write('greet/.hidden', 'secret');
  write('outside.txt', 'outside');
  symlinkSync(join(root, 'outside.txt'), join(root, 'greet/link.txt'));
  expect(await read({ name: 'greet' })).toContain('Say hello.');
  expect(await read({ name: 'greet' })).toContain('more/words.md');
  expect(await read({ name: 'greet', file: 'more/words.md' })).toBe('Servus');
  for (const file of ['../outside.txt', 'link.txt', join(root, 'outside.txt'), 'more/../../outside.txt']) {
    expect(await read({ name: 'greet', file })).toContain('it is outside the skill');
  }
  expect(await read({ name: 'greet', file: 'missing.md' })).toContain('cannot be read');
  expect(await read({ name: 'greet', file: 'more' })).toContain('is a directory');
  expect(await read({ name: 'other' })).toContain('the skills are greet');
});
