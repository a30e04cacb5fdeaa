// How a job is shown: its times in words, and the secret of its webhook with what to do with it.
import { formatDuration } from '../../lib/duration.ts';
import { webhookHeaders, type Job } from '../../protocol/jobs.ts';
import type { Output } from '../output.ts';
import { printThing } from '../table.ts';

/** `0 9 * * * Europe/Berlin`, `every 15m`, `webhook`. */
export function triggerText(job: Job): string {
  const { trigger_type: type, cron_schedule: cron, cron_timezone: zone, interval_seconds: seconds } = job;
  if (type === 'cron') return `${cron ?? ''}${typeof zone === 'string' && zone !== 'UTC' ? ` ${zone}` : ''}`;
  return type === 'interval' ? `every ${formatDuration((seconds ?? 0) * 1000)}` : type;
}

/** A problem keeps it from running although it is enabled. */
export function stateText({ enabled, problem }: Job): string {
  if (!enabled) return 'disabled';
  return typeof problem === 'string' ? 'broken' : 'enabled';
}

export async function printJob(output: Output, job: Job, isJson: boolean): Promise<void> {
  await printThing(output, job, isJson);
  if (typeof job.problem === 'string') await output.note(`warning: ${output.stderr.foreign(job.problem)}`);
  if (typeof job.webhook_secret !== 'string') return;
  await output.note(
    `the secret is shown this once: send ${webhookHeaders.signature}: sha256=<hex HMAC-SHA256 of "$TIMESTAMP.$BODY"> and ${webhookHeaders.timestamp}, or give it to GitHub as the secret of a webhook`,
  );
}
