// An output whose every line begins with a name, for what runs beside others: members of a team, executions on several queues.
import type { Output, Sink } from '../output.ts';

export interface PrefixedOutput extends Output {
  /** Prints what stands on unfinished lines. */
  end(): Promise<void>;
}

/** `isAside` sends also the answer to stderr. */
export function prefixedOutput(
  output: Output,
  name: string,
  { isAside }: { readonly isAside: boolean },
): PrefixedOutput {
  const stderr = prefixedSink(output.stderr, name);
  const stdout = isAside ? stderr : prefixedSink(output.stdout, name);
  return {
    ...output,
    // Its groups would end those of others.
    ci: undefined,
    stdout,
    stderr,
    print: (line) => stdout.write(`${line}\n`),
    note: (line) => stderr.write(`${line}\n`),
    end: async () => {
      await stdout.end();
      await stderr.end();
    },
  };
}

interface PrefixedSink extends Sink {
  end(): Promise<void>;
}

/** Whole lines only: half a line of one would be continued by another. */
function prefixedSink(sink: Sink, name: string): PrefixedSink {
  let unfinished = '';
  const prefix = sink.style('cyan', `[${sink.foreign(name)}]`);
  return {
    isTty: sink.isTty,
    hasColour: sink.hasColour,
    get columns() {
      return sink.columns;
    },
    style: (style, text) => sink.style(style, text),
    foreign: (text) => sink.foreign(text),
    mark: (text) => sink.mark(text),
    write: async (text) => {
      const lines = (unfinished + text).split('\n');
      unfinished = lines.pop() ?? '';
      await sink.write(lines.map((line) => `${prefix} ${line}\n`).join(''));
    },
    end: async () => {
      if (unfinished !== '') await sink.write(`${prefix} ${unfinished}\n`);
      unfinished = '';
    },
  };
}
