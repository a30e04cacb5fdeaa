// What a long-running process says to the person who started it: lines on stderr.
import type { ProcessIo } from '../processes/process-io.ts';
import type { Output } from './output.ts';

export function processIo({ stderr }: Output): ProcessIo {
  return {
    writeLine: (text) => void stderr.write(`${text}\n`),
    isTty: stderr.isTty,
    hasColour: stderr.hasColour,
  };
}
