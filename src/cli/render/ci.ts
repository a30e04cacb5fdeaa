// An execution in the log of a CI job: groups that fold, an annotation for a failure, and a summary beside the job.
import { appendFileSync } from 'node:fs';
import { messageOf } from '../../errors.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { ContinuousIntegration, Output } from '../output.ts';
import type { Outcome, Renderer } from './renderer.ts';
import { costText } from './summary.ts';

/** GitHub takes 1 MiB of a step; several executions may share it. */
const summaryCharactersMax = 100_000;
/** What GitHub shows of an annotation. */
const annotationCharactersMax = 4_000;
const titleCharactersMax = 200;

export interface Group {
  readonly start: string;
  readonly end: string;
}

/** Lines around what folds under the title; undefined where nothing folds. */
export function groupOf(ci: ContinuousIntegration | undefined, title: string, number: number): Group | undefined {
  const line = title.replaceAll(/[\p{Cc}\s]+/gu, ' ').slice(0, titleCharactersMax);
  switch (ci?.kind) {
    case 'github':
      return { start: `::group::${escapeData(line)}\n`, end: '::endgroup::\n' };
    case 'gitlab': {
      const escape = '\u001b[0K';
      const seconds = Math.floor(Date.now() / 1000);
      const name = `kubiya_call_${number}`;
      return {
        start: `${escape}section_start:${seconds}:${name}[collapsed=true]\r${escape}${line}\n`,
        end: `${escape}section_end:${seconds}:${name}\r${escape}\n`,
      };
    }
    case undefined:
      return undefined;
  }
}

/** The renderer, and at the end what the CI shows outside of its log. */
export function withSummary(renderer: Renderer, output: Output): Renderer {
  const { ci } = output;
  if (ci?.kind !== 'github') return renderer;
  return {
    ...renderer,
    finish: async (outcome) => {
      await renderer.finish(outcome);
      if (outcome.status !== 'completed') await output.stderr.mark(annotation(outcome));
      if (ci.summaryFile === undefined) return;
      try {
        appendFileSync(ci.summaryFile, summary(outcome));
      } catch (error) {
        await output.note(`the summary of the job was not written: ${messageOf(error)}`);
      }
    },
  };
}

function annotation({ status, error, executionId }: Outcome): string {
  const text = (error ?? `the execution ${executionId} is ${status}`).slice(0, annotationCharactersMax);
  return `::error title=kubiya exec ${escapeProperty(status)}::${escapeData(text)}\n`;
}

/** https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts */
function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

/** The answer stands in a fence: it is a model's, and Markdown of it could show pictures and links in our name. */
function summary(outcome: Outcome): string {
  const { status, executionId, durationMs, error, response, usage } = outcome;
  const cost = costText(outcome);
  const rows = [
    ['outcome', status],
    ['duration', formatDuration(durationMs)],
    [
      'tokens',
      `${usage['input_tokens'] ?? usage['prompt_tokens'] ?? 0} in, ${usage['output_tokens'] ?? usage['completion_tokens'] ?? 0} out`,
    ],
    ...(cost === undefined ? [] : [['cost', cost]]),
    ['execution', executionId],
  ];
  const table = rows.map(([name = '', value = '']) => `| ${name} | ${escapeCell(value)} |`).join('\n');
  const parts = [`### kubiya exec\n\n| | |\n|---|---|\n${table}`];
  if (error !== undefined) parts.push(fenced(error));
  if (response !== '') parts.push(fenced(response));
  return `${parts.join('\n\n')}\n\n`;
}

function escapeCell(text: string): string {
  return text.replaceAll(/[\\`*_{}[\]<>()#+!|~]/g, String.raw`\$&`).replaceAll(/\s+/g, ' ');
}

/** Longer than any run of backticks inside. */
function fenced(text: string): string {
  const shown = text.length > summaryCharactersMax ? `${text.slice(0, summaryCharactersMax)}\n…` : text;
  const longest = Math.max(2, ...[...shown.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${shown}\n${fence}`;
}
