// The command tree: names and one-line summaries; a command's own file is only loaded when it is meant.
import type { CommandNode } from './command.ts';

export const root: CommandNode = {
  name: 'kubiya',
  summary: 'run AI-agent workflows durably on Temporal, on this machine or with a Kubiya control plane',
  children: [
    {
      name: 'exec',
      summary: 'run a prompt with the default agent and stream what happens',
      load: () => import('./commands/exec/prompt.ts'),
      children: [
        { name: 'agent', summary: 'run a prompt with an agent', load: () => import('./commands/exec/agent.ts') },
        {
          name: 'attach',
          summary: 'follow an execution that was started before',
          load: () => import('./commands/exec/attach.ts'),
        },
      ],
    },
    {
      name: 'worker',
      summary: 'run a worker on this machine',
      children: [
        {
          name: 'start',
          summary: 'start a worker in the foreground',
          load: () => import('./commands/worker/start.ts'),
        },
      ],
    },
    {
      name: 'server',
      summary: 'run the embedded control plane',
      children: [
        {
          name: 'start',
          summary: 'start the embedded control plane and its Temporal server',
          load: () => import('./commands/server/start.ts'),
        },
        {
          name: 'stop',
          summary: 'stop the embedded control plane of this user',
          load: () => import('./commands/server/stop.ts'),
        },
        {
          name: 'status',
          summary: 'show whether the embedded control plane runs',
          load: () => import('./commands/server/status.ts'),
        },
      ],
    },
    {
      name: 'execution',
      summary: 'look at executions and stop them',
      children: [
        { name: 'list', summary: 'list executions, newest first', load: () => import('./commands/execution/list.ts') },
        { name: 'get', summary: 'show one execution', load: () => import('./commands/execution/get.ts') },
        {
          name: 'logs',
          summary: 'print what happened in an execution',
          load: () => import('./commands/execution/logs.ts'),
        },
        { name: 'cancel', summary: 'cancel an execution', load: () => import('./commands/execution/cancel.ts') },
      ],
    },
    {
      name: 'agent',
      summary: 'manage agents',
      children: [
        { name: 'list', summary: 'list agents', load: () => import('./commands/agent/list.ts') },
        { name: 'get', summary: 'show one agent', load: () => import('./commands/agent/get.ts') },
        { name: 'create', summary: 'create an agent', load: () => import('./commands/agent/create.ts') },
      ],
    },
    {
      name: 'queue',
      summary: 'manage worker queues',
      children: [
        { name: 'list', summary: 'list worker queues', load: () => import('./commands/queue/list.ts') },
        { name: 'get', summary: 'show one worker queue', load: () => import('./commands/queue/get.ts') },
        { name: 'create', summary: 'create a worker queue', load: () => import('./commands/queue/create.ts') },
      ],
    },
    {
      name: 'environment',
      summary: 'manage environments',
      children: [
        { name: 'list', summary: 'list environments', load: () => import('./commands/environment/list.ts') },
        { name: 'get', summary: 'show one environment', load: () => import('./commands/environment/get.ts') },
        { name: 'create', summary: 'create an environment', load: () => import('./commands/environment/create.ts') },
      ],
    },
    {
      name: 'skill',
      summary: 'manage skills, the tools of agents',
      children: [
        { name: 'list', summary: 'list skills', load: () => import('./commands/skill/list.ts') },
        { name: 'get', summary: 'show one skill', load: () => import('./commands/skill/get.ts') },
        { name: 'create', summary: 'create a skill', load: () => import('./commands/skill/create.ts') },
      ],
    },
    {
      name: 'model',
      summary: 'manage the models that agents may name',
      children: [
        { name: 'list', summary: 'list models', load: () => import('./commands/model/list.ts') },
        { name: 'get', summary: 'show one model', load: () => import('./commands/model/get.ts') },
        { name: 'create', summary: 'create a model', load: () => import('./commands/model/create.ts') },
      ],
    },
    {
      name: 'config',
      summary: 'look at the configuration',
      children: [
        {
          name: 'show',
          summary: 'show every effective setting and where it comes from',
          load: () => import('./commands/config/show.ts'),
        },
      ],
    },
    { name: 'version', summary: 'show the version', load: () => import('./commands/version.ts') },
    {
      name: 'completion',
      summary: 'print the completion script of a shell',
      load: () => import('./commands/completion.ts'),
    },
  ],
};
