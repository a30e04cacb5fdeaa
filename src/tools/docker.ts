// The skill `docker`: containers, images, volumes and networks through the docker program, from structured arguments only.
// What would open the host (privileged, host mounts, host namespaces, the engine's socket) has no argument to ask for it.
import * as v from 'valibot';
import type { ResolvedSkill, ToolEffect } from '../protocol/tool.ts';
import { type SkillTools, type SkillType, namesSchema, parseConfiguration, setting } from './configuration.ts';
import { call, docker, registryRefusal } from './docker-engine.ts';
import { resolvePath } from './paths.ts';
import { type Tool, type ToolOutcome, type ToolRun, defineTool, failure } from './tool.ts';

const actionNames = [
  'list_containers',
  'inspect_container',
  'get_container_logs',
  'run_container',
  'start_container',
  'stop_container',
  'remove_container',
  'exec_in_container',
  'list_images',
  'inspect_image',
  'pull_image',
  'build_image',
  'remove_image',
  'list_volumes',
  'create_volume',
  'remove_volume',
  'list_networks',
  'create_network',
  'remove_network',
] as const;
type ActionName = (typeof actionNames)[number];
/** What the variant `containers_only` leaves, whatever is allowed besides. */
const containerActions: ReadonlySet<string> = new Set([
  ...actionNames.filter((name) => name.includes('container')),
  'list_images',
  'inspect_image',
  'pull_image',
]);

/** Containers that a workspace's machine carries beside everything else. */
const containersMaxDefault = 10;
/** A fork bomb inside ends in its container. */
const processesMax = 512;
/** An image over a slow line, a build. */
const longTimeoutMs = 1_800_000;
const shortTimeoutMs = 60_000;
/** Fits into what a stopped tool has left (5 s). */
const removalTimeoutMs = 3_000;
/** Says whose a container is. */
const ownerLabel = 'ai.kubiya.execution';

const entries = {
  allowed_operations: setting(v.array(v.picklist(actionNames)), 'the tools it gives; all unless set'),
  network_access: setting(
    v.boolean(),
    'containers and builds reach the network, and networks may be managed; no unless set',
  ),
  volume_management: setting(v.boolean(), 'named volumes may be managed and mounted; no unless set'),
  allowed_registries: setting(
    namesSchema,
    'only images of these registries, such as `docker.io, ghcr.io/acme`; nothing is built',
  ),
  max_containers: setting(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000)),
    'containers of one execution at a time; 10 unless set',
  ),
  all_containers: setting(v.boolean(), 'also containers that the execution did not start; no unless set'),
};

export const dockerSkill = {
  type: 'docker',
  description: 'Run containers',
  entries,
  variants: {
    containers_only: {
      description: 'its own containers, without network and volumes',
      values: { network_access: false, volume_management: false, all_containers: false },
      locked: ['network_access', 'volume_management', 'all_containers'],
    },
    full_control: {
      description: 'every container, image, volume and network',
      values: { network_access: true, volume_management: true, all_containers: true },
    },
  },
  create: createDockerTools,
} satisfies SkillType;

interface DockerPolicy {
  readonly mayUseNetwork: boolean;
  readonly mayUseVolumes: boolean;
  readonly registries: readonly string[] | undefined;
  readonly containersMax: number;
  readonly ownOnly: boolean;
}

function createDockerTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, dockerSkill);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const { configuration, variant, problems } = parsed;
  const policy: DockerPolicy = {
    mayUseNetwork: configuration.network_access ?? false,
    mayUseVolumes: configuration.volume_management ?? false,
    registries: configuration.allowed_registries,
    containersMax: configuration.max_containers ?? containersMaxDefault,
    ownOnly: configuration.all_containers !== true,
  };
  const wanted: readonly string[] = configuration.allowed_operations ?? actionNames;
  const isPossible = (name: string): boolean => variant !== 'containers_only' || containerActions.has(name);
  const tools = [
    ...containerTools(policy),
    ...imageTools(policy),
    ...(policy.mayUseVolumes ? thingTools('volume') : []),
    ...(policy.mayUseNetwork ? thingTools('network') : []),
  ];
  return { tools: tools.filter(({ name }) => wanted.includes(name) && isPossible(name)), problems };
}

const thing = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/, 'must be a name of letters, digits, dots, dashes and underscores'),
);
const image = v.pipe(
  v.string(),
  v.maxLength(500),
  v.regex(
    /^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?\/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[a-f0-9]{64})?$/,
    'must be an image such as nginx:1.27 or ghcr.io/acme/tool',
  ),
);
const command = v.pipe(v.array(v.string()), v.description('Program and arguments, run without a shell'));
const variables = v.pipe(
  v.record(v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/)), v.string()),
  v.description('Environment variables'),
);
const containerPath = v.pipe(v.string(), v.regex(/^\/[^,:"\n]*$/, 'must be an absolute path without , and :'));
const port = v.pipe(v.string(), v.regex(/^[1-9][0-9]{0,4}$/));

const runInput = v.strictObject({
  image,
  command: v.optional(command),
  name: v.optional(thing),
  environment: v.optional(variables, {}),
  volumes: v.optional(
    v.pipe(v.record(thing, containerPath), v.description('Named volume → path in the container')),
    {},
  ),
  ports: v.optional(v.pipe(v.record(port, port), v.description('Port on 127.0.0.1 → port of the container')), {}),
  network: v.optional(v.pipe(thing, v.description('A network made with create_network'))),
  memory_mb: v.optional(v.pipe(v.number(), v.integer(), v.minValue(16))),
  detach: v.optional(
    v.pipe(v.boolean(), v.description('Leave it running and return its id; otherwise it is removed when it ends')),
    false,
  ),
});
type RunInput = v.InferOutput<typeof runInput>;

function containerTools(policy: DockerPolicy): Tool[] {
  const one = v.strictObject({ container: thing });
  const simple = (name: ActionName, description: string, effect: ToolEffect, argv: readonly string[]): Tool =>
    defineTool({
      name,
      description,
      input: one,
      effect,
      timeoutMs: shortTimeoutMs,
      run: ({ container }, run) => onContainer(container, [...argv, container], run, policy),
    });
  const own = policy.ownOnly ? ' Only containers that you started are shown.' : '';
  return [
    defineTool({
      name: 'list_containers',
      description: `Lists containers, also stopped ones when \`all\` is set.${own}`,
      input: v.strictObject({ all: v.optional(v.boolean(), false) }),
      effect: 'read_only',
      timeoutMs: shortTimeoutMs,
      run: ({ all }, run) =>
        docker(['ps', '--no-trunc', ...(all ? ['--all'] : []), ...(policy.ownOnly ? filterOf(run) : [])], run),
    }),
    simple('inspect_container', 'Shows everything about one container as JSON.', 'read_only', [
      'inspect',
      '--type',
      'container',
    ]),
    defineTool({
      name: 'get_container_logs',
      description: 'Shows the last lines that a container printed.',
      input: v.strictObject({
        container: thing,
        tail: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000)), 200),
      }),
      effect: 'read_only',
      timeoutMs: shortTimeoutMs,
      run: ({ container, tail }, run) =>
        onContainer(container, ['logs', '--tail', String(tail), container], run, policy),
    }),
    defineTool({
      name: 'run_container',
      description: 'Runs an image as a new container and returns its output, or its id when `detach` is set.',
      input: runInput,
      effect: 'side_effecting',
      timeoutMs: longTimeoutMs,
      run: (given, run) => runContainer(given, run, policy),
    }),
    simple('start_container', 'Starts a stopped container again.', 'side_effecting', ['start']),
    simple('stop_container', 'Stops a running container.', 'side_effecting', ['stop']),
    simple(
      'remove_container',
      'Removes a container, also one that runs, with its anonymous volumes.',
      'side_effecting',
      ['rm', '--force', '--volumes'],
    ),
    defineTool({
      name: 'exec_in_container',
      description: 'Runs a program inside a running container and returns its output.',
      input: v.strictObject({ container: thing, command: v.pipe(command, v.minLength(1)) }),
      effect: 'side_effecting',
      timeoutMs: longTimeoutMs,
      run: (given, run) => onContainer(given.container, ['exec', given.container, ...given.command], run, policy),
    }),
  ];
}

function imageTools(policy: DockerPolicy): Tool[] {
  const one = v.strictObject({ image });
  const simple = (name: ActionName, description: string, effect: ToolEffect, argv: readonly string[]): Tool =>
    defineTool({
      name,
      description,
      input: one,
      effect,
      timeoutMs: name === 'pull_image' ? longTimeoutMs : shortTimeoutMs,
      run: async (given, run) => {
        const refusal = name === 'pull_image' ? registryRefusal(given.image, policy.registries) : undefined;
        return refusal === undefined ? docker([...argv, given.image], run) : failure(refusal);
      },
    });
  const build = defineTool({
    name: 'build_image',
    description: 'Builds an image from a directory of the workspace with a Dockerfile.',
    input: v.strictObject({
      tag: image,
      directory: v.optional(v.string(), '.'),
      dockerfile: v.optional(v.pipe(v.string(), v.description('Path of the Dockerfile; default: in the directory'))),
    }),
    effect: 'side_effecting',
    timeoutMs: longTimeoutMs,
    run: (given, run) => buildImage(given, run, policy),
  });
  return [
    defineTool({
      name: 'list_images',
      description: 'Lists the images on the machine.',
      input: v.strictObject({}),
      effect: 'read_only',
      timeoutMs: shortTimeoutMs,
      run: (_given, run) => docker(['images', '--digests'], run),
    }),
    simple('inspect_image', 'Shows everything about one image as JSON.', 'read_only', ['inspect', '--type', 'image']),
    simple('pull_image', 'Fetches an image from its registry.', 'idempotent', ['pull', '--quiet']),
    // What a Dockerfile fetches is only known when it is built.
    ...(policy.registries === undefined ? [build] : []),
    simple('remove_image', 'Removes an image that no container uses.', 'side_effecting', ['rmi']),
  ];
}

/** Volumes and networks by name only: drivers and their options could reach the host's files and interfaces. */
function thingTools(kind: 'volume' | 'network'): Tool[] {
  const one = v.strictObject({ name: thing });
  const internal = kind === 'network' ? ['--driver', 'bridge'] : [];
  const simple = (verb: 'create' | 'remove', argv: readonly string[]): Tool =>
    defineTool({
      name: `${verb}_${kind}`,
      description: verb === 'create' ? `Makes a ${kind} for containers.` : `Removes a ${kind} that no container uses.`,
      input: one,
      effect: 'side_effecting',
      timeoutMs: shortTimeoutMs,
      run: ({ name }, run) => docker([...argv, name], run),
    });
  return [
    defineTool({
      name: `list_${kind}s`,
      description: `Lists the ${kind}s on the machine.`,
      input: v.strictObject({}),
      effect: 'read_only',
      timeoutMs: shortTimeoutMs,
      run: (_given, run) => docker([kind, 'ls'], run),
    }),
    simple('create', [kind, 'create', ...internal]),
    simple('remove', [kind, 'rm']),
  ];
}

async function runContainer(given: RunInput, run: ToolRun, policy: DockerPolicy): Promise<ToolOutcome> {
  const refusal = runRefusal(given, policy);
  if (refusal !== undefined) return failure(refusal);
  const running = await call(['ps', '--quiet', ...filterOf(run)], run);
  if (!running.ok) return failure(running.problem);
  const count = running.value.split('\n').filter((line) => line !== '').length;
  if (count >= policy.containersMax) {
    return failure(
      `${count} containers of this execution run already, and ${policy.containersMax} is the limit; remove one`,
    );
  }
  // A name of ours, so that a run that is stopped can be removed.
  const name = given.name ?? `kubiya-${run.callId.replaceAll(/[^A-Za-z0-9_.-]/g, '-')}`.slice(0, 128);
  const argv = [
    'run',
    '--name',
    name,
    '--label',
    labelOf(run),
    ...(given.detach ? ['--detach'] : ['--rm']),
    '--init',
    '--security-opt',
    'no-new-privileges',
    '--pids-limit',
    String(processesMax),
    '--network',
    policy.mayUseNetwork ? (given.network ?? 'bridge') : 'none',
    ...(given.memory_mb === undefined ? [] : ['--memory', `${given.memory_mb}m`]),
    ...Object.entries(given.environment).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
    ...Object.entries(given.ports).flatMap(([host, inside]) => ['--publish', `127.0.0.1:${host}:${inside}`]),
    ...Object.entries(given.volumes).flatMap(([volume, path]) => ['--mount', `type=volume,src=${volume},dst=${path}`]),
    given.image,
    ...(given.command ?? []),
  ];
  const outcome = await docker(argv, run);
  if (run.signal.aborted) await removeStopped(name, { ...run, signal: AbortSignal.timeout(removalTimeoutMs) });
  return outcome;
}

/** The model may have chosen a name that is another's: docker says so only once it has the image. */
async function removeStopped(name: string, run: ToolRun): Promise<void> {
  if ((await ownerOf(name, run)) === run.executionId) await call(['rm', '--force', name], run);
}

function runRefusal(given: RunInput, policy: DockerPolicy): string | undefined {
  if (!policy.mayUseNetwork && (given.network !== undefined || Object.keys(given.ports).length > 0)) {
    return 'Containers have no network here, so network and ports cannot be used';
  }
  // `host` and `none` are kinds of network, not networks of ours; a colon would join another container's.
  if (given.network === 'host') return 'Containers may not use the network of the host';
  if (!policy.mayUseVolumes && Object.keys(given.volumes).length > 0) return 'Volumes cannot be used here';
  return registryRefusal(given.image, policy.registries);
}

async function buildImage(
  given: { readonly tag: string; readonly directory: string; readonly dockerfile?: string | undefined },
  run: ToolRun,
  policy: DockerPolicy,
): Promise<ToolOutcome> {
  const inside = { baseDirectories: ['.'] };
  const directory = resolvePath(given.directory, run.workspace, inside);
  if (!directory.ok) return failure(directory.problem);
  if (directory.stats?.isDirectory() !== true) return failure(`${given.directory} is not a directory of the workspace`);
  const file = given.dockerfile === undefined ? undefined : resolvePath(given.dockerfile, run.workspace, inside);
  if (file?.ok === false) return failure(file.problem);
  const network = policy.mayUseNetwork ? [] : ['--network', 'none'];
  const from = file === undefined ? [] : ['--file', file.path];
  return docker(['build', '--tag', given.tag, ...network, ...from, directory.path], run);
}

/** Runs a command on a container if the execution may touch it. */
async function onContainer(
  container: string,
  argv: readonly string[],
  run: ToolRun,
  policy: DockerPolicy,
): Promise<ToolOutcome> {
  if (policy.ownOnly) {
    const owner = await ownerOf(container, run);
    if (typeof owner !== 'string') return failure(owner.problem);
    if (owner !== run.executionId) return failure(`${container} was not started by this execution`);
  }
  return docker(argv, run);
}

async function ownerOf(container: string, run: ToolRun): Promise<string | { readonly problem: string }> {
  const format = `{{index .Config.Labels "${ownerLabel}"}}`;
  const owner = await call(['inspect', '--type', 'container', '--format', format, container], run);
  return owner.ok ? owner.value.trim() : owner;
}

function labelOf(run: ToolRun): string {
  return `${ownerLabel}=${run.executionId}`;
}

function filterOf(run: ToolRun): string[] {
  return ['--filter', `label=${labelOf(run)}`];
}
