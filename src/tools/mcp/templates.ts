// Fills `{{.secret.NAME}}`, `{{.env.NAME}}`, `${NAME}` and `${NAME:-default}` into the texts of a server's configuration.

export interface TemplateValues {
  /** Of the execution, secrets among them. Never the worker's own environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
}

export interface Template {
  readonly fill: (text: string) => string;
  /** What was asked for and is not there, each once, as it was written. */
  readonly missing: ReadonlySet<string>;
  /** Secrets that were filled in. */
  readonly used: ReadonlySet<string>;
}

const placeholder =
  /\{\{\s*\.(?<kind>secret|env)\.(?<path>[A-Za-z_][\w-]*)\s*\}\}|\$\{(?<name>[A-Za-z_]\w*)(?::-(?<fallback>[^}]*))?\}/g;

/** What a value holds is never looked at again: a secret may contain anything. */
export function createTemplate({ environment, secrets }: TemplateValues): Template {
  const missing = new Set<string>();
  const used = new Set<string>();
  const secretOf = (name: string): string | undefined => {
    const value = Object.hasOwn(secrets, name) ? secrets[name] : undefined;
    if (value !== undefined) used.add(value);
    return value;
  };
  const variableOf = (name: string): string | undefined =>
    Object.hasOwn(environment, name) ? environment[name] : undefined;
  const fill = (text: string): string =>
    text.replaceAll(placeholder, (whole: string, ...rest: unknown[]) => {
      const { kind, path, name, fallback } = rest.at(-1) as Record<string, string | undefined>;
      let value: string | undefined;
      if (kind === 'secret') value = secretOf(path ?? '');
      else if (kind === 'env') value = variableOf(path ?? '');
      else value = secretOf(name ?? '') ?? variableOf(name ?? '') ?? fallback;
      if (value !== undefined) return value;
      missing.add(whole);
      return '';
    });
  return { fill, missing, used };
}
