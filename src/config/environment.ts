/**
 * `TANDEM_…` variables that override the config file. A name is the path in upper case with `_` between words:
 * limits.recordBytesMax is TANDEM_LIMITS_RECORD_BYTES_MAX. Only keys with a fixed path and a single value have one; `listen` is a
 * list separated by spaces, TANDEM_WORKERS is workers.count.
 *
 * A variable that looks like a misspelt one is a problem; any other TANDEM_ variable is left alone (a Kubernetes service called
 * "tandem" puts TANDEM_PORT and TANDEM_SERVICE_HOST there).
 */
import { type ConfigProblem, closest } from './problems.ts';
import { acceptedAt, type ConfigPath, configJsonSchema, pathText, type SchemaNode } from './schema-tree.ts';

export interface EnvironmentName {
  readonly name: string;
  readonly path: ConfigPath;
  readonly node: SchemaNode;
}

export interface Override {
  readonly path: ConfigPath;
  readonly value: unknown;
  /** For messages: the variable or the flag. */
  readonly where: string;
}

export type Environment = { readonly [name: string]: string | undefined };

/** Variables that are not settings of a node. */
const OTHER_NAMES: readonly string[] = [
  'TANDEM_CONFIG',
  'TANDEM_URL',
  'TANDEM_ADMIN_URL',
  'TANDEM_TOKEN',
  'TANDEM_LOG_LEVEL',
];

const SECTIONS = ['TANDEM_LIMITS_', 'TANDEM_WORKERS_', 'TANDEM_PUSH_', 'TANDEM_AUTH_'];
const KUBERNETES_NAME = /^TANDEM_(SERVICE|PORT)(_|$)/;

function namesIn(node: SchemaNode, path: ConfigPath): EnvironmentName[] {
  const here = path.length > 0 && isSettable(node) ? [{ name: nameOf(path), path: pathFor(path), node }] : [];
  const objects = [node, ...(node.anyOf ?? [])].filter((each) => each.properties !== undefined);
  const below = isAddress(path)
    ? []
    : objects.flatMap((object) =>
        Object.entries(object.properties ?? {}).flatMap(([key, inner]) => namesIn(inner, [...path, key])),
      );
  return [...here, ...below];
}

const isAddress = (path: ConfigPath): boolean => path[0] === 'listen' || path[0] === 'admin';
const isScalar = (node: SchemaNode): boolean => ['integer', 'boolean', 'string'].includes(node.type ?? '');
const isSettable = (node: SchemaNode): boolean =>
  isScalar(node) || (node.anyOf ?? []).some(isScalar) || (node.items !== undefined && listIsOfText(node.items));
const listIsOfText = (items: SchemaNode): boolean => [items, ...(items.anyOf ?? [])].some((n) => n.type === 'string');
const pathFor = (path: ConfigPath): ConfigPath => (pathText(path) === 'workers' ? ['workers', 'count'] : path);

function nameOf(path: ConfigPath): string {
  const words = path.map((step) => String(step).replace(/[A-Z]/g, (letter) => `_${letter}`));
  return `TANDEM_${words.join('_').toUpperCase()}`;
}

/** Every variable that overrides a key. */
export const ENVIRONMENT_NAMES: readonly EnvironmentName[] = namesIn(configJsonSchema, []);

/** What the environment overrides; values that cannot be read are handed on as text, for the schema to refuse. */
export function environmentOverrides(environment: Environment, problems: ConfigProblem[]): Override[] {
  const overrides: Override[] = [];
  const known = new Map(ENVIRONMENT_NAMES.map((entry) => [entry.name, entry]));
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith('TANDEM_') || text === undefined || OTHER_NAMES.includes(name)) continue;
    const entry = known.get(name);
    if (entry !== undefined) overrides.push({ path: entry.path, value: readValue(text, entry.node), where: name });
    else problems.push(...misspelt(name, [...known.keys()]));
  }
  return overrides;
}

function misspelt(name: string, known: readonly string[]): ConfigProblem[] {
  if (KUBERNETES_NAME.test(name)) return [];
  const meant = closest(name, known, 2);
  const isOfSection = SECTIONS.some((section) => name.startsWith(section));
  if (meant === undefined && !isOfSection) return [];
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  return [
    { path: '', where: name, problem: `is not a variable that Tandem knows${hint}`, accepted: 'see docs/config.md' },
  ];
}

function readValue(text: string, node: SchemaNode): unknown {
  if (node.items !== undefined) return text.split(/\s+/).filter((part) => part !== '');
  const kinds = [node, ...(node.anyOf ?? [])].map((each) => each.type);
  if (kinds.includes('integer') && /^-?\d+$/.test(text)) return Number(text);
  if (kinds.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

/** For docs: what a variable accepts. */
export function acceptedText({ node }: EnvironmentName): string {
  if (node.items !== undefined) return 'a list separated by spaces';
  return [node, ...(node.anyOf ?? [])].filter(isScalar).map(acceptedAt).join(', or ');
}
