/** What the resolving of a config works with, and the one rule that all its parts need: secrets. */
import type { Environment } from './environment.ts';
import type { ConfigProblem } from './problems.ts';
import type { ConfigPath } from './schema-tree.ts';

export interface Resolution {
  readonly environment: Environment;
  /** What relative paths start from. */
  readonly folder: string;
  readonly configPath: string | null;
  readonly problem: (path: ConfigPath, problem: Omit<ConfigProblem, 'path' | 'where' | 'line'>) => void;
}

/** The text itself, or what `env:NAME` names. */
export function resolveSecret(path: ConfigPath, text: string, { environment, problem }: Resolution): string {
  if (!text.startsWith('env:')) return text;
  const name = text.slice('env:'.length);
  const value = environment[name];
  if (value === undefined || value === '')
    problem(path, {
      problem: `takes its value from the environment variable ${name}, which is not set`,
      accepted: `set ${name}`,
    });
  return value ?? '';
}
