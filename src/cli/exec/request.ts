// The request that starts an execution, made of the prompt, the flags and the configuration.
import { resolve } from 'node:path';
import type { Config } from '../../config/config.ts';
import { KubiyaError, messageOf } from '../../errors.ts';
import { readTextFile } from '../../lib/bounded-file.ts';
import type { ExecuteRequest } from '../../protocol/control-plane.ts';
import { usage } from '../flags.ts';
import { readVariables } from './env-file.ts';
import type { StartFlags } from './flags.ts';

/** Everything but where it runs. Reads the files that flags name, so that a wrong one is said before anything starts. */
export function requestOf(prompt: string, config: Config, flags: StartFlags, cwd: string): ExecuteRequest {
  const environment = environmentOf(flags, cwd);
  const { model, traceparent } = config;
  const maxCost = flags['max-cost'];
  const schema = flags['output-schema'];
  return {
    prompt,
    stream: true,
    ...(flags['system-prompt'] === undefined ? {} : { system_prompt: flags['system-prompt'] }),
    ...(model === undefined ? {} : { model_id: model }),
    ...(traceparent === undefined ? {} : { user_metadata: { traceparent } }),
    ...(Object.keys(environment).length === 0 ? {} : { execution_environment: environment }),
    ...(flags.conversation ? { is_conversation: true } : {}),
    ...(flags['parent-execution'] === undefined ? {} : { parent_execution_id: flags['parent-execution'] }),
    ...(flags.priority === undefined ? {} : { priority: flags.priority }),
    ...(maxCost === undefined ? {} : { limits: { max_cost_usd: maxCost } }),
    ...(schema === undefined ? {} : { output_schema: readSchema(resolve(cwd, schema)) }),
  };
}

type EnvironmentFlags = Pick<StartFlags, 'cwd' | 'timeout' | 'env' | 'env-file' | 'secret' | 'skill-dir'>;

/** Where and with what the tools work; empty when no flag says anything. */
export function environmentOf(
  flags: EnvironmentFlags,
  cwd: string,
): NonNullable<ExecuteRequest['execution_environment']> {
  const variables = readVariables({ pairs: flags.env, file: flags['env-file'], cwd });
  return {
    ...(flags.cwd === undefined ? {} : { working_dir: resolve(cwd, flags.cwd) }),
    ...(flags.timeout === undefined ? {} : { timeout: Math.ceil(flags.timeout / 1000) }),
    ...(variables === undefined ? {} : { env_vars: variables }),
    ...(flags.secret.length === 0 ? {} : { secrets: [...flags.secret] }),
    ...(flags['skill-dir'].length === 0 ? {} : { skill_dirs: flags['skill-dir'].map((path) => resolve(cwd, path)) }),
  };
}

function readSchema(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readTextFile(path);
  } catch (error) {
    throw new KubiyaError(`the schema ${path} cannot be read: ${messageOf(error)}`, {
      kind: 'usage',
      code: 'schema_unreadable',
      hint: 'check the path given to --output-schema',
      cause: error,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw usage(`the schema ${path} is not JSON: ${messageOf(error)}`, 'schema_invalid');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw usage(
    `the schema ${path} is no JSON object`,
    'schema_invalid',
    'write a JSON Schema, such as {"type": "object"}',
  );
}
