// The command tree: groups with their sentence, and commands whose own file is only loaded when it is meant.
import type { Command } from './command.ts';

const lazy = (load: () => Promise<{ readonly default: Command }>) => async () => (await load()).default;

export const root: Command = {
  meta: {
    name: 'kubiya',
    description: 'run AI-agent workflows durably on Temporal, on this machine or with a Kubiya control plane',
  },
  subCommands: {
    exec: async () => ({
      ...(await import('./commands/exec/prompt.ts')).default,
      subCommands: {
        agent: lazy(() => import('./commands/exec/agent.ts')),
        team: lazy(() => import('./commands/exec/team.ts')),
        attach: lazy(() => import('./commands/exec/attach.ts')),
      },
    }),
    worker: {
      meta: { description: 'run a worker on this machine' },
      subCommands: {
        start: lazy(() => import('./commands/worker/start.ts')),
        stop: lazy(() => import('./commands/worker/stop.ts')),
        restart: lazy(() => import('./commands/worker/restart.ts')),
        status: lazy(() => import('./commands/worker/status.ts')),
        list: lazy(() => import('./commands/worker/list.ts')),
        logs: lazy(() => import('./commands/worker/logs.ts')),
        clean: lazy(() => import('./commands/worker/clean.ts')),
      },
    },
    server: {
      meta: { description: 'run the embedded control plane' },
      subCommands: {
        start: lazy(() => import('./commands/server/start.ts')),
        stop: lazy(() => import('./commands/server/stop.ts')),
        status: lazy(() => import('./commands/server/status.ts')),
        backup: lazy(() => import('./commands/server/backup.ts')),
        restore: lazy(() => import('./commands/server/restore.ts')),
      },
    },
    execution: {
      meta: { description: 'look at executions, answer them and stop them' },
      subCommands: {
        list: lazy(() => import('./commands/execution/list.ts')),
        get: lazy(() => import('./commands/execution/get.ts')),
        logs: lazy(() => import('./commands/execution/logs.ts')),
        inspect: lazy(() => import('./commands/execution/inspect.ts')),
        message: lazy(() => import('./commands/execution/message.ts')),
        done: lazy(() => import('./commands/execution/done.ts')),
        approve: lazy(() => import('./commands/execution/approve.ts')),
        deny: lazy(() => import('./commands/execution/deny.ts')),
        cancel: lazy(() => import('./commands/execution/cancel.ts')),
        pause: lazy(() => import('./commands/execution/pause.ts')),
        resume: lazy(() => import('./commands/execution/resume.ts')),
        terminate: lazy(() => import('./commands/execution/terminate.ts')),
      },
    },
    agent: {
      meta: { description: 'manage agents' },
      subCommands: {
        list: lazy(() => import('./commands/agent/list.ts')),
        get: lazy(() => import('./commands/agent/get.ts')),
        create: lazy(() => import('./commands/agent/create.ts')),
        update: lazy(() => import('./commands/agent/update.ts')),
        delete: lazy(() => import('./commands/agent/delete.ts')),
        exec: lazy(() => import('./commands/agent/exec.ts')),
      },
    },
    team: {
      meta: { description: 'manage teams of agents' },
      subCommands: {
        list: lazy(() => import('./commands/team/list.ts')),
        get: lazy(() => import('./commands/team/get.ts')),
        create: lazy(() => import('./commands/team/create.ts')),
        update: lazy(() => import('./commands/team/update.ts')),
        delete: lazy(() => import('./commands/team/delete.ts')),
        exec: lazy(() => import('./commands/team/exec.ts')),
      },
    },
    queue: {
      meta: { description: 'manage worker queues' },
      subCommands: {
        list: lazy(() => import('./commands/queue/list.ts')),
        get: lazy(() => import('./commands/queue/get.ts')),
        create: lazy(() => import('./commands/queue/create.ts')),
        update: lazy(() => import('./commands/queue/update.ts')),
        delete: lazy(() => import('./commands/queue/delete.ts')),
      },
    },
    environment: {
      meta: { description: 'manage environments' },
      subCommands: {
        list: lazy(() => import('./commands/environment/list.ts')),
        get: lazy(() => import('./commands/environment/get.ts')),
        create: lazy(() => import('./commands/environment/create.ts')),
        update: lazy(() => import('./commands/environment/update.ts')),
        delete: lazy(() => import('./commands/environment/delete.ts')),
      },
    },
    skill: {
      meta: { description: 'manage skills, the tools of agents' },
      subCommands: {
        list: lazy(() => import('./commands/skill/list.ts')),
        get: lazy(() => import('./commands/skill/get.ts')),
        create: lazy(() => import('./commands/skill/create.ts')),
        types: lazy(() => import('./commands/skill/types.ts')),
        update: lazy(() => import('./commands/skill/update.ts')),
        delete: lazy(() => import('./commands/skill/delete.ts')),
      },
    },
    model: {
      meta: { description: 'manage the models that agents may name' },
      subCommands: {
        list: lazy(() => import('./commands/model/list.ts')),
        get: lazy(() => import('./commands/model/get.ts')),
        create: lazy(() => import('./commands/model/create.ts')),
        update: lazy(() => import('./commands/model/update.ts')),
        delete: lazy(() => import('./commands/model/delete.ts')),
        test: lazy(() => import('./commands/model/test.ts')),
      },
    },
    job: {
      meta: { description: 'run prompts at times, or when a webhook is called' },
      subCommands: {
        list: lazy(() => import('./commands/job/list.ts')),
        get: lazy(() => import('./commands/job/get.ts')),
        create: lazy(() => import('./commands/job/create.ts')),
        update: lazy(() => import('./commands/job/update.ts')),
        delete: lazy(() => import('./commands/job/delete.ts')),
        enable: lazy(() => import('./commands/job/enable.ts')),
        disable: lazy(() => import('./commands/job/disable.ts')),
        trigger: lazy(() => import('./commands/job/trigger.ts')),
        history: lazy(() => import('./commands/job/history.ts')),
        'rotate-secret': lazy(() => import('./commands/job/rotate-secret.ts')),
      },
    },
    config: {
      meta: { description: 'look at the configuration, and manage the contexts' },
      subCommands: {
        show: lazy(() => import('./commands/config/show.ts')),
        path: lazy(() => import('./commands/config/path.ts')),
        view: lazy(() => import('./commands/config/view.ts')),
        'get-contexts': lazy(() => import('./commands/config/get-contexts.ts')),
        'current-context': lazy(() => import('./commands/config/current-context.ts')),
        'use-context': lazy(() => import('./commands/config/use-context.ts')),
        'set-context': lazy(() => import('./commands/config/set-context.ts')),
        'rename-context': lazy(() => import('./commands/config/rename-context.ts')),
        'delete-context': lazy(() => import('./commands/config/delete-context.ts')),
      },
    },
    login: lazy(() => import('./commands/login.ts')),
    logout: lazy(() => import('./commands/logout.ts')),
    version: lazy(() => import('./commands/version.ts')),
    completion: lazy(() => import('./commands/completion.ts')),
  },
};
