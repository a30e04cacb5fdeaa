// Opens an address in the browser of the person who sits here.
import { homedir } from 'node:os';
import type { Config } from '../config/config.ts';
import { createId } from '../lib/ids.ts';
import { baseEnvironment, createSpawner, StartError } from '../lib/spawn.ts';

/** What a program needs to find the desktop of its user, beside what every child of ours gets. */
const desktopNames =
  'DISPLAY WAYLAND_DISPLAY XAUTHORITY DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR XDG_CURRENT_DESKTOP XDG_DATA_DIRS BROWSER';
/** The openers hand the address on and end; one that still runs then has become the browser. */
const openerTimeoutMs = 3_000;

/** False when there is no desktop here or its opener failed. */
export async function openBrowser(url: string, config: Pick<Config, 'childEnvironmentBase'>): Promise<boolean> {
  const environment = config.childEnvironmentBase.reveal();
  const isRemote = environment['SSH_CONNECTION'] !== undefined || environment['SSH_TTY'] !== undefined;
  const hasDesktop =
    process.platform !== 'linux' ||
    [environment['DISPLAY'], environment['WAYLAND_DISPLAY']].some((name) => name !== undefined && name !== '');
  if (isRemote || !hasDesktop) return false;
  const desktop = desktopNames.split(' ').flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  // In our own group: a browser that the opener becomes must outlive it, and us.
  const spawner = createSpawner({ instanceId: createId(), onStart: () => undefined, onEnd: () => undefined });
  try {
    const opener = await spawner.start({
      command: commandOf(url),
      cwd: homedir(),
      environment: { ...baseEnvironment(environment), ...Object.fromEntries(desktop) },
      isDetachedGroup: false,
    });
    const timeout = new Promise<undefined>((done) => setTimeout(done, openerTimeoutMs).unref());
    const exit = await Promise.race([opener.exited, timeout]);
    return exit === undefined || exit.code === 0;
  } catch (error) {
    if (error instanceof StartError) return false;
    throw error;
  }
}

function commandOf(url: string): readonly string[] {
  switch (process.platform) {
    case 'darwin':
      return ['open', url];
    case 'win32':
      // `start` belongs to cmd, which would read the & of the address.
      return ['rundll32', 'url.dll,FileProtocolHandler', url];
    default:
      return ['xdg-open', url];
  }
}
