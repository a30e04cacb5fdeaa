// Looks for paths of the build machine in what was built.
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Throws when the file names what is in the checkout: that is either a leak or a file that will be missing elsewhere. */
export function assertNamesNoCheckout(path: string, root: string): void {
  const content = readFileSync(path);
  const names = ['node_modules', 'src', '.cache', 'scripts'];
  for (const name of names.map((entry) => join(root, entry))) {
    // Bytecode keeps some strings with two bytes a character.
    for (const encoding of ['utf8', 'utf16le'] as const) {
      const at = content.indexOf(Buffer.from(name, encoding));
      if (at === -1) continue;
      const context = content.toString(encoding, Math.max(0, at - 160), at + 320).replaceAll(/[^\x20-\x7e]+/g, ' ');
      throw new Error(`${basename(path)} names the build machine's ${name}: …${context}…`);
    }
  }
}
