// A real workspace, a real spawner and a context for the tests of the tools.
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSpawner } from '../../../src/lib/spawn.ts';
import type { ResolvedSkill } from '../../../src/protocol/tool.ts';
import type { Tool, ToolContext } from '../../../src/tools/tool.ts';
import { createToolset } from '../../../src/tools/toolset.ts';

export interface Bench extends AsyncDisposable {
  readonly workspace: string;
  /** Everything the tools reported while they ran. */
  readonly live: string[];
  context(changes?: Partial<ToolContext>): ToolContext;
  path(...names: string[]): string;
}

export function createBench(): Bench {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'tools-')));
  const workspace = join(root, 'workspace');
  const live: string[] = [];
  const spawner = createSpawner({ instanceId: `test-${root}`, onStart: () => undefined, onEnd: () => undefined });
  for (const directory of [workspace, join(root, 'python')]) mkdirSync(directory);
  return {
    workspace,
    live,
    path: (...names) => join(workspace, ...names),
    context: (changes = {}) => ({
      callId: 'execution-1:1:call-1',
      executionId: 'execution-1',
      workspace,
      environment: { PATH: Bun.env['PATH'] ?? '/usr/bin:/bin', HOME: root, LANG: 'C.UTF-8' },
      spawner,
      signal: new AbortController().signal,
      onOutput: (chunk) => live.push(chunk),
      limits: {},
      python: { directory: join(root, 'python') },
      ...changes,
    }),
    [Symbol.asyncDispose]: async () => {
      rmSync(root, { recursive: true, force: true });
    },
  };
}

export function skill(type: string, configuration: Record<string, unknown> = {}): ResolvedSkill {
  return { id: type, name: type, type, enabled: true, configuration };
}

export function toolOf(name: string, type: string, configuration: Record<string, unknown> = {}): Tool {
  const toolset = createToolset([skill(type, configuration)]);
  const tool = toolset.tools.get(name);
  if (tool === undefined) throw new Error(`no tool ${name}: ${toolset.problems.join('; ')}`);
  return tool;
}

export async function until(condition: () => boolean, limitMs = 5_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error('the condition did not come true in time');
    await Bun.sleep(20);
  }
}
