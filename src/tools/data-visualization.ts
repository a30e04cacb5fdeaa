// The skill `data_visualization`: diagrams from structured data, saved as Mermaid source and, drawn here, as SVG.
import * as v from 'valibot';
import type { ResolvedSkill } from '../protocol/tool.ts';
import { type SkillTools, type SkillType, parseConfiguration, setting } from './configuration.ts';
import type { Drawing } from './diagram-kind.ts';
import { diagramKinds } from './diagrams.ts';
import { type FileScope, writeText } from './file-access.ts';
import { type Attempt, type Tool, type ToolOutcome, type ToolRun, defineTool, failure } from './tool.ts';

/** A diagram that people can read has hundreds of parts at most; the drawing is small then. */
const fileBytesMax = 2 * 1024 * 1024;
const timeoutMs = 30_000;
const directoryDefault = 'diagrams';
const nameCharactersMax = 60;

const toolNames = Object.keys(diagramKinds);

const entries = {
  output_directory: setting(
    v.pipe(v.string(), v.minLength(1)),
    'directory of the workspace for the files; `diagrams` unless set',
  ),
  allowed_diagrams: setting(v.array(v.picklist(toolNames)), 'the tools it gives; all unless set'),
};

export const dataVisualizationSkill = {
  type: 'data_visualization',
  description: 'Draw charts and diagrams',
  entries,
  variants: {},
  create: createVisualizationTools,
} satisfies SkillType;

function createVisualizationTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, dataVisualizationSkill);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const { output_directory: directory = directoryDefault, allowed_diagrams: allowed } = parsed.configuration;
  const tools = Object.entries(diagramKinds)
    .filter(([name]) => allowed?.includes(name) ?? true)
    .map(([name, kind]): Tool => {
      const { description, input } = kind;
      return defineTool({
        name,
        description: `${description} The files are saved in the workspace; the answer names them.`,
        input,
        // The same diagram makes the same files.
        effect: 'idempotent',
        timeoutMs,
        run: (given, run) => Promise.resolve(save(kind.draw(given), run, directory)),
      });
    });
  return { tools, problems: parsed.problems };
}

function save(drawn: Attempt<Drawing>, run: ToolRun, directory: string): ToolOutcome {
  if (!drawn.ok) return failure(drawn.problem);
  const { kind, title, source, svg } = drawn.value;
  const base = `${directory}/${fileNameOf(title, kind)}`;
  const scope: FileScope = {
    workspace: run.workspace,
    policy: { baseDirectories: ['.'], fileBytesMax },
    signal: run.signal,
  };
  const files = [
    { name: `${base}.mmd`, text: source },
    ...(svg === undefined ? [] : [{ name: `${base}.svg`, text: svg }]),
  ];
  for (const { name, text } of files) {
    const written = writeText(name, text, scope, { mayReplace: true });
    if (!written.ok) return failure(written.problem);
  }
  const visualization = {
    type: kind,
    title,
    source: `${base}.mmd`,
    ...(svg === undefined ? {} : { image: `${base}.svg` }),
  };
  return { status: 'success', output: JSON.stringify({ visualization }) };
}

function fileNameOf(title: string, kind: string): string {
  const words = title
    .toLowerCase()
    .normalize('NFKD')
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, nameCharactersMax)
    .replaceAll(/^-|-$/g, '');
  return words === '' ? kind : words;
}
