/**
 * The schema as a tree that can be asked: what stands at a path, in words. Error messages, environment names and docs/config.md
 * all come from here, so they cannot differ.
 */
import { z } from 'zod';
import { configSchema } from './schema.ts';

export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: { readonly [key: string]: SchemaNode };
  readonly additionalProperties?: SchemaNode | boolean;
  readonly propertyNames?: SchemaNode;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

export type ConfigPath = readonly (string | number)[];

/** The JSON Schema of the config file, as config.schema.json has it. */
export const configJsonSchema: SchemaNode = z.toJSONSchema(configSchema, { io: 'input' }) as SchemaNode;

/** The node for a path, looking through unions; undefined: there is none. */
export function schemaAt(path: ConfigPath): SchemaNode | undefined {
  let node: SchemaNode | undefined = configJsonSchema;
  for (const step of path) node = node && child(node, step);
  return node;
}

function child(node: SchemaNode, step: string | number): SchemaNode | undefined {
  const own = typeof step === 'number' ? node.items : (node.properties?.[step] ?? namedChild(node));
  if (own !== undefined) return own;
  for (const branch of node.anyOf ?? []) {
    const found = child(branch, step);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The node of each entry of a map (`topics`, `consumers`), whatever its name. */
const namedChild = (node: SchemaNode): SchemaNode | undefined =>
  typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined;

/** The fixed keys at a node, looking through unions. */
export function keysOf(node: SchemaNode | undefined): readonly string[] {
  if (node === undefined) return [];
  return [...Object.keys(node.properties ?? {}), ...(node.anyOf ?? []).flatMap(keysOf)];
}

/** What is accepted at a node, in words. */
export function acceptedAt(node: SchemaNode): string {
  if (node.anyOf !== undefined) return node.anyOf.map(acceptedAt).join(', or ');
  if (node.enum !== undefined) return node.enum.map((value) => JSON.stringify(value)).join(' or ');
  switch (node.type) {
    case 'integer':
      return `an integer${range(node)}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      return node.pattern === undefined ? 'text' : `text like ${node.pattern}`;
    case 'array':
      return node.items === undefined ? 'a list' : `a list, each entry ${acceptedAt(node.items)}`;
    case 'object':
      return node.properties === undefined ? 'an object' : `an object with ${Object.keys(node.properties).join(', ')}`;
    default:
      return node.type ?? 'a value';
  }
}

function range({ minimum, maximum }: SchemaNode): string {
  const low = minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const high = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (low !== undefined && high !== undefined) return ` from ${low} to ${high}`;
  if (low !== undefined) return ` of at least ${low}`;
  return high === undefined ? '' : ` of at most ${high}`;
}

/** `consumers.save.retry.attemptsMax`, `listen[0].url` */
export function pathText(path: ConfigPath): string {
  return path.reduce<string>(
    (text, step) => (typeof step === 'number' ? `${text}[${step}]` : text === '' ? step : `${text}.${step}`),
    '',
  );
}
