/**
 * The one door to the configuration: file, then environment, then flags; checked, complete, frozen. Nothing else reads the
 * environment for settings, and nothing reads it again later (a reload calls this again).
 */
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Environment, environmentOverrides, type Override } from './environment.ts';
import { type ConfigProblem, configError, type Locate, problemsOf } from './problems.ts';
import { resolveConfig } from './resolve.ts';
import { type ConfigInput, configSchema } from './schema.ts';
import { type ConfigPath, pathText } from './schema-tree.ts';
import type { TandemConfig } from './tandem-config.ts';
import { readYamlFile } from './yaml-file.ts';

/** The file that is read when none is named and it exists in the current folder. */
const DEFAULT_CONFIG_FILE = 'tandem.yaml';

const EXPOSED = 'TANDEM_EXPOSED_WITHOUT_AUTH';

export interface ConfigSources {
  /** `--config`; default: TANDEM_CONFIG, then ./tandem.yaml if there is one, then no file. */
  readonly configPath?: string | undefined;
  /** Instead of a file: its content (tests, programs). */
  readonly input?: ConfigInput;
  /** Default: the process's. */
  readonly environment?: Environment;
  /** Command-line flags: dotted path (`name`, `workers.count`) to value. */
  readonly flags?: { readonly [path: string]: unknown };
  /** The current folder. */
  readonly folder?: string;
}

/**
 * Throws TANDEM_CONFIG_INVALID with every problem in `data.problems` (ConfigProblem[]); TANDEM_EXPOSED_WITHOUT_AUTH if that is the
 * only kind.
 */
export function loadConfig(sources: ConfigSources = {}): TandemConfig {
  const environment = sources.environment ?? process.env;
  const cwd = sources.folder ?? process.cwd();
  const configPath = sources.input === undefined ? findFile(sources, environment, cwd) : null;
  const file = configPath === null ? undefined : readYamlFile(configPath);
  const problems: ConfigProblem[] = [...(file?.problems ?? [])];

  const overrides = [...environmentOverrides(environment, problems), ...flagOverrides(sources.flags ?? {})];
  const input = withOverrides(file?.input ?? sources.input ?? {}, overrides);
  const locate = locator(overrides, configPath, file?.lineOf);

  const parsed = configSchema.safeParse(input);
  if (!parsed.success) problems.push(...problemsOf(parsed.error.issues, input, locate));
  const folder = configPath === null ? cwd : dirname(configPath);
  // Rules between keys can be judged only where each key by itself is right: keep the top-level keys that are.
  const sound = parsed.success ? parsed.data : soundPart(input);
  const config = resolveConfig(sound, { environment, folder, configPath }, locate, problems);
  const told = isAuthUnsound(input, sound) ? problems.filter(({ code }) => code !== EXPOSED) : problems;
  if (told.length > 0) throw configError(told);
  return deepFreeze(config);
}

function findFile(sources: ConfigSources, environment: Environment, cwd: string): string | null {
  const named = sources.configPath ?? (environment['TANDEM_CONFIG'] || undefined);
  if (named !== undefined) return resolve(cwd, named);
  const usual = resolve(cwd, DEFAULT_CONFIG_FILE);
  return existsSync(usual) ? usual : null;
}

const flagOverrides = (flags: { readonly [path: string]: unknown }): Override[] =>
  Object.entries(flags)
    .filter(([, value]) => value !== undefined)
    .map(([path, value]) => ({ path: path.split('.'), value, where: `--${path.split('.')[0]}` }));

type Tree = { [key: string]: unknown };

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

function withOverrides(input: unknown, overrides: readonly Override[]): unknown {
  if (!isTree(input) || overrides.length === 0) return input;
  const merged = structuredClone(input);
  for (const { path, value } of overrides) {
    let at: Tree = merged;
    for (const step of path.slice(0, -1).map(String)) {
      const below = at[step];
      // `workers: 4` is short for `workers: { count: 4 }`.
      const next = isTree(below) ? below : step === 'workers' && below !== undefined ? { count: below } : {};
      at[step] = next;
      at = next;
    }
    at[String(path.at(-1))] = value;
  }
  return merged;
}

function locator(
  overrides: readonly Override[],
  configPath: string | null,
  lineOf: ((path: ConfigPath) => number | undefined) | undefined,
): Locate {
  return (path) => {
    const text = pathText(path);
    const override = overrides.findLast(
      (each) => text === pathText(each.path) || text.startsWith(`${pathText(each.path)}[`),
    );
    if (override !== undefined) return { where: override.where };
    if (configPath === null) return {};
    const line = lineOf?.(path);
    return line === undefined ? { where: configPath } : { where: `${configPath}:${line}`, line };
  };
}

/** The top-level keys whose value is right by itself. */
function soundPart(input: unknown): ConfigInput {
  if (!isTree(input)) return {};
  const entries = Object.entries(input).filter(([key, value]) => configSchema.safeParse({ [key]: value }).success);
  return Object.fromEntries(entries) as ConfigInput;
}

/** Whether a token is needed cannot be judged while `auth` itself is wrong. */
const isAuthUnsound = (input: unknown, sound: ConfigInput): boolean =>
  isTree(input) && input['auth'] !== undefined && sound.auth === undefined;

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
