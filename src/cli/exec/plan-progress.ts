// The planner at work: a spinner on a terminal, lines elsewhere, objects in a JSON stream.
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { followPlanning, type PlanningOptions } from '../../controlplane/planning.ts';
import type { Plan, PlanRequest } from '../../protocol/planner.ts';
import { jsonText, type Output } from '../output.ts';

interface ProgressOptions {
  readonly output: Output;
  readonly signal: AbortSignal;
  readonly isJsonStream: boolean;
  /** Shows what the model thinks. */
  readonly isVerbose: boolean;
}

export async function followPlanProgress(
  client: ControlPlaneClient,
  request: PlanRequest,
  options: ProgressOptions,
): Promise<Plan> {
  const { output, signal, isVerbose } = options;
  const { stderr } = output;
  if (options.isJsonStream) return await followPlanning(client, request, { signal, onEvent: jsonLines(output) });
  const spinner = output.isInteractive && !isVerbose ? startSpinner(output) : undefined;
  try {
    return await followPlanning(client, request, {
      signal,
      onEvent: async (event) => {
        if (event.type === 'notice') {
          spinner?.clear();
          await output.note(stderr.style('yellow', stderr.foreign(event.message)));
        } else if (event.type === 'thinking') {
          if (isVerbose) await stderr.write(stderr.style('dim', stderr.foreign(event.content)));
        } else if (spinner !== undefined) {
          spinner.message(stderr.foreign(event.message));
        } else if (isVerbose) {
          await output.note(stderr.foreign(event.message));
        }
      },
    });
  } finally {
    spinner?.clear();
  }
}

interface Spinner {
  message(text: string): void;
  clear(): void;
}

const frames = ['-', '\\', '|', '/'];
const frameMs = 120;
const eraseLine = '\r\u001b[2K';
/** For the frame, and so that the cursor does not wrap. */
const spareColumns = 4;

/** One line that is gone without a trace when the plan is there. The terminal stays as it is, so that Ctrl+C is a signal to us. */
function startSpinner({ stderr }: Output): Spinner {
  let text = 'Planning';
  let turn = 0;
  const draw = (): void => {
    const line = text.replaceAll('\n', ' ').slice(0, Math.max(0, (stderr.columns ?? 80) - spareColumns));
    turn += 1;
    void stderr.write(`${eraseLine}${frames[turn % frames.length]} ${line}`);
  };
  draw();
  let timer: ReturnType<typeof setInterval> | undefined = setInterval(draw, frameMs);
  return {
    message: (next) => {
      text = next;
    },
    clear: () => {
      if (timer === undefined) return;
      clearInterval(timer);
      timer = undefined;
      void stderr.write(eraseLine);
    },
  };
}

function jsonLines(output: Output): PlanningOptions['onEvent'] {
  return async (event) => {
    const timestamp = new Date().toISOString();
    const body =
      event.type === 'progress'
        ? { progress: { stage: event.stage, message: event.message, percent: event.progress } }
        : event.type === 'thinking'
          ? { thinking: { content: event.content } }
          : { notice: { message: event.message } };
    await output.stdout.write(`${jsonText({ type: event.type, timestamp, ...body })}\n`);
  };
}
