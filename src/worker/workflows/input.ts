// Reads the input of a workflow: one that is not signed, or not of its shape, ends the workflow at once.
import * as workflow from '@temporalio/workflow';
import * as v from 'valibot';
import { isRefused } from '../../protocol/workflow.ts';

export function parseInput<Schema extends v.GenericSchema>(schema: Schema, raw: unknown): v.InferOutput<Schema> {
  if (isRefused(raw)) {
    throw workflow.ApplicationFailure.nonRetryable(
      'This start was refused: it does not carry the control plane’s signature',
      'kubiya.refused',
    );
  }
  const parsed = v.safeParse(schema, raw);
  if (parsed.success) return parsed.output;
  throw workflow.ApplicationFailure.nonRetryable(
    'The workflow input is not of the shape that this workflow takes',
    'kubiya.invalid_input',
  );
}
