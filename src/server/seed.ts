// What a new control plane has from its first start, so that one command works without setting anything up.
import type { ServerDeps } from './deps.ts';
import { agentDefaults, environmentDefaults, modelDefaults, skillDefaults } from './routes/catalog.ts';
import { heartbeatIntervalDefault } from './routes/queues.ts';

const skills = ['shell', 'file_system', 'python'] as const;

/** Adds what is missing; what the user changed or renamed stays as it is. */
export function seed({ store }: Pick<ServerDeps, 'store'>): void {
  const { resources, queues } = store;
  store.transaction(() => {
    const environment =
      resources.find('environment', 'default') ??
      resources.insert('environment', 'default', { ...environmentDefaults });
    if (!queues.named('default').some((queue) => queue.environmentId === environment.id)) {
      queues.insert({
        environmentId: environment.id,
        name: 'default',
        status: 'active',
        heartbeatInterval: heartbeatIntervalDefault,
        maxWorkers: null,
        isEphemeral: false,
        isSingleExecution: false,
        autoCleanupAfterSeconds: null,
        body: { display_name: null, description: null, tags: [], settings: {} },
      });
    }
    if (resources.find('agent', 'default') !== null) return;
    const agent = resources.insert('agent', 'default', {
      ...agentDefaults,
      description: 'Runs commands, works with files and Python',
    });
    for (const type of skills) {
      const skill = resources.find('skill', type) ?? resources.insert('skill', type, { ...skillDefaults, type });
      resources.associate('agent', agent.id, { skillId: skill.id, override: null });
    }
    if (resources.find('model', 'kubiya/offline') === null) {
      const description = 'Scripted, without a provider; used only when it is named';
      resources.insert('model', 'kubiya/offline', {
        ...modelDefaults,
        label: 'Offline',
        provider: 'kubiya',
        description,
      });
    }
  });
}
