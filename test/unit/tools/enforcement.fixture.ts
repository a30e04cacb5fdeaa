// Preloaded by enforcement-long.ts: the skills' configurations without the one key or variant that the environment names.
import { mock } from 'bun:test';
import * as configuration from '../../../src/tools/configuration.ts';

const marker = Bun.env['ENFORCEMENT_WITHOUT'] ?? '';
const [type = '', name = ''] = marker.split(/[.=]/);
const real = { ...configuration };

type Parse = typeof configuration.parseConfiguration;

const parseWithout: Parse = (skill, declaration) => {
  if (skill.type !== type) return real.parseConfiguration(skill, declaration);
  if (marker.includes('=')) {
    const { variant, ...rest } = skill.configuration;
    if (Bun.env['ENFORCEMENT_HOW'] === 'undeclared') {
      const variants = Object.fromEntries(Object.entries(declaration.variants).filter(([key]) => key !== name));
      return real.parseConfiguration(skill, { ...declaration, variants: variants as typeof declaration.variants });
    }
    return real.parseConfiguration(variant === name ? { ...skill, configuration: rest } : skill, declaration);
  }
  // The key is accepted, and nothing comes of it.
  const parsed = real.parseConfiguration(skill, declaration);
  if (!parsed.ok) return parsed;
  const { [name]: _ignored, ...left } = parsed.configuration as Record<string, unknown>;
  const given = new Set([...parsed.given].filter((key) => key !== name));
  return { ...parsed, given, configuration: left as typeof parsed.configuration };
};

void mock.module('../../../src/tools/configuration.ts', () => ({ ...real, parseConfiguration: parseWithout }));
