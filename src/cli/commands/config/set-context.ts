// `kubiya config set-context`.
import { options } from '../../../config/options.ts';
import { defineCommand } from '../../command.ts';
import { jsonFlag, usage } from '../../flags.ts';
import { checkedToken, readToken } from '../../token-input.ts';

export default defineCommand({
  meta: { description: 'create a context, or change what is given of it' },
  scope: 'contexts',
  details: 'The token is kept with the user of the context. What is not given stays as it is.',
  examples: [
    ['kubiya config set-context prod --organization acme --token-file key', 'with the token in the file key'],
    ['pass kubiya | kubiya config set-context prod --token-file -', 'with the token from stdin'],
    ['kubiya config set-context lab --api-url https://kubiya.lab.example', 'a control plane of your own'],
  ],
  args: {
    name: { type: 'positional', description: 'name of the context' },
    'api-url': {
      type: 'url',
      valueName: 'url',
      defaultText: options.controlPlaneUrl.default,
      description: 'base URL of the control plane',
    },
    organization: { type: 'text', valueName: 'name', description: 'organization of the user' },
    user: { type: 'text', valueName: 'name', defaultText: 'the name of the context', description: 'whose token it is' },
    'token-file': { type: 'path', valueName: 'file', description: 'file that holds the token; - is stdin' },
    token: {
      type: 'text',
      valueName: 'token',
      description: 'the token itself, which others can see in the list of processes',
    },
    'use-v1-api': { type: 'switch', description: 'say in the file that other programs use the older API' },
    json: jsonFlag,
  },
  run: async ({ args, output, cwd, loadConfig, commandLine }) => {
    const name = args.name.trim();
    if (name === '') throw usage('the name of the context is empty', 'argument_invalid');
    if (args.token !== undefined && args['token-file'] !== undefined)
      throw usage('--token and --token-file are both given', 'flag_conflict', 'leave --token out');
    if (args.token !== undefined) {
      const warning = output.stderr.style('yellow', 'warning:');
      await output.note(
        `${warning} other users can see --token in the list of processes; --token-file keeps it from them`,
      );
    }
    const file = args['token-file'];
    const read = file === undefined ? undefined : await readToken(file, cwd);
    const token = args.token === undefined ? read : checkedToken(args.token);
    const isV1Given = commandLine.some((word) => /^--(no-)?use-v1-api$/.test(word));
    const { changeContexts } = await import('../../../processes/contexts.ts');
    const made = await changeContexts(await loadConfig(), (contexts) => {
      const values = { url: args['api-url'], organization: args.organization, user: args.user, token };
      const { isNew, user } = contexts.set(name, { ...values, usesV1Api: isV1Given ? args['use-v1-api'] : undefined });
      return { name, user, is_new: isNew, is_current: contexts.current() === name };
    });
    if (args.json) return await output.printJson(made);
    await output.note(`the context ${name} is ${made.is_new ? 'created' : 'changed'}`);
    if (!made.is_current) await output.note(`\`kubiya config use-context ${name}\` makes it the current one`);
  },
});
