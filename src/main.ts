// Entry point: the arguments go to the command line, its answer becomes the exit code; the only place that ends the process.
import { version } from './version.ts';

const typed = process.argv.slice(2);
/** A supervised worker has it for `ps` and `pkill`; it says nothing to us. */
const words = typed.at(-1)?.startsWith('--tag=worker.py:') === true ? typed.slice(0, -1) : typed;

if (words.length === 1 && (words[0] === '--version' || words[0] === '-V')) {
  // Answered before anything else is loaded: scripts and health checks ask this often.
  // oxlint-disable-next-line no-console -- process.stdout loads streams, which takes as long as all the rest
  console.log(`kubiya ${version}`);
} else if (words[0] === '__guardian') {
  const { runGuardian } = await import('./processes/guardian.ts');
  process.exit(await runGuardian());
} else if (words[0] === '__supervisor') {
  const { runSupervisor } = await import('./processes/supervisor.ts');
  process.exit(await runSupervisor());
} else if (words[0] === '__probe-addon') {
  const { runAddonProbe } = await import('./processes/addon-probe.ts');
  process.exit(runAddonProbe(words[1] ?? ''));
} else {
  const { runCommandLine } = await import('./cli/run.ts');
  process.exit(await runCommandLine(words));
}
