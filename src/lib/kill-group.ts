// Signals to a process group, with "it is already gone" as an answer and not as an error.

/**
 * Sends `signal` to every process of the group; false when the group is gone (or is not ours any more).
 * Windows has no groups: there only the leader gets it.
 */
export function killGroup(pgid: number, signal: NodeJS.Signals | 0): boolean {
  // -0 and -1 would address our own group and every process of the user.
  if (!Number.isSafeInteger(pgid) || pgid <= 1) return false;
  try {
    process.kill(process.platform === 'win32' ? pgid : -pgid, signal);
    return true;
  } catch {
    // ESRCH: nobody is left. EPERM: the number belongs to somebody else now. Both mean that ours is gone.
    return false;
  }
}
