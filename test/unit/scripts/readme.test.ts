// README.md against the declarations that it describes.
import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { withTables } from '../../../scripts/readme.ts';
import { root as commandTree } from '../../../src/cli/root.ts';
import { exitCodes } from '../../../src/errors.ts';
import { providerVariableNames } from '../../../src/protocol/providers.ts';

const readme = readFileSync(resolve(import.meta.dirname, '../../../README.md'), 'utf8');

describe('README.md', () => {
  test('has the tables that the declarations give (`bun run scripts/readme.ts` writes them)', async () => {
    expect(await withTables(readme)).toBe(readme);
    expect(readme.match(/<!-- table: \w+ -->/g)).toHaveLength(3);
  });

  test('a table that is out of date or unknown is noticed', async () => {
    expect(await withTables(readme.replace('| `LOG_LEVEL` |', '| `LOUDNESS` |'))).toBe(readme);
    expect(withTables('<!-- table: weather -->\n<!-- end -->')).rejects.toThrow('weather');
  });

  test('explains every exit code and names every provider variable', () => {
    for (const code of [0, ...Object.values(exitCodes)]) expect(readme).toContain(`\n| ${code} | `);
    for (const name of providerVariableNames.filter((candidate) => candidate !== 'LITELLM_DEFAULT_MODEL'))
      expect(readme).toContain(`\`${name}\``);
  });

  test('shows no command that does not exist', () => {
    const shown = [...readme.matchAll(/(?:^|`|> |\| )kubiya ([a-z]+)(?: ([a-z-]+))?/gm)];
    expect(shown.length).toBeGreaterThan(15);
    for (const [text, noun = '', verb] of shown) {
      const group = commandTree.subCommands?.[noun];
      expect({ text, isKnown: group !== undefined }).toEqual({ text, isKnown: true });
      if (group === undefined || typeof group === 'function' || verb === undefined) continue;
      expect({ text, verbs: Object.keys(group.subCommands ?? {}) }).toMatchObject({
        verbs: expect.arrayContaining([verb]),
      });
    }
  });

  test('is short enough to be read', () => {
    expect(readme.split('\n').length).toBeLessThan(450);
  });
});
