/**
 * One form for everything that can be wrong with a config, collected so that all of it is told at once.
 * Secrets (tokens, webhook secrets) are never repeated in a problem.
 */
import type { z } from 'zod';
import { type ErrorCode, TandemError } from '../core/errors.ts';
import { FUTURE_KEYS } from './schema.ts';
import { acceptedAt, type ConfigPath, keysOf, pathText, schemaAt } from './schema-tree.ts';

export interface ConfigProblem {
  /** `limits.recordBytesMax`; '' is the whole config. */
  readonly path: string;
  /** What is wrong, in words. */
  readonly problem: string;
  /** What would be right, in words. */
  readonly accepted?: string;
  /** Where it was said: a file's line, an environment variable or a flag. */
  readonly where?: string;
  readonly line?: number;
  /** Set when the problem has a code of its own. */
  readonly code?: ErrorCode;
}

/** Tells where the value at a path came from. */
export type Locate = (path: ConfigPath) => { readonly where?: string; readonly line?: number };

export type Issue = z.core.$ZodIssue;

const VALUE_TEXT_MAX = 60;
const SECRET_KEYS = new Set<string | number | undefined>(['token', 'secret', 'key']);

export function describeProblem({ path, problem, accepted, where }: ConfigProblem): string {
  const head = [where, path].filter((part) => part !== undefined && part !== '').join(': ');
  return `${head}${head === '' ? '' : ' '}${problem}${accepted === undefined ? '' : `; accepted: ${accepted}`}`;
}

/** TANDEM_CONFIG_INVALID, or the code that all problems share; data.problems holds them. */
export function configError(problems: readonly ConfigProblem[]): TandemError {
  const code = problems[0]?.code;
  const shared = code !== undefined && problems.every((problem) => problem.code === code);
  const lines = problems.map(describeProblem);
  const detail = lines.length === 1 ? lines[0] : `${lines.length} problems\n${lines.map((l) => `  - ${l}`).join('\n')}`;
  return new TandemError(shared ? code : 'TANDEM_CONFIG_INVALID', { detail: detail ?? '', data: { problems } });
}

// ---------------------------------------------------------------- from the schema's issues

/** The schema's issues about `input`, in our words. */
export function problemsOf(issues: readonly Issue[], input: unknown, locate: Locate): ConfigProblem[] {
  return issues.flatMap((issue) => fromIssue(issue, [], input, locate));
}

function fromIssue(issue: Issue, base: ConfigPath, input: unknown, locate: Locate): ConfigProblem[] {
  const path = [...base, ...(issue.path as (string | number)[])];
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey([...path, key], locate));
  if (issue.code === 'invalid_union') {
    const branch = closestBranch(issue.errors);
    if (branch !== undefined) return branch.flatMap((inner) => fromIssue(inner, path, input, locate));
  }
  if (issue.code === 'invalid_key') return [badName(path, locate)];
  return [badValue(path, valueAt(input, path), locate)];
}

/** The alternative that the value was meant to be: the one that does not fail at its root. */
const closestBranch = (branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined =>
  branches.find((issues) => issues.every((issue) => issue.path.length > 0 || issue.code === 'unrecognized_keys'));

function unknownKey(path: ConfigPath, locate: Locate): ConfigProblem {
  const key = String(path.at(-1));
  const base = { path: pathText(path), ...locate(path) };
  if (path.length === 1 && FUTURE_KEYS.includes(key))
    return { ...base, problem: 'is known, but this version of Tandem does not have it yet', accepted: 'leave it out' };
  const keys = keysOf(schemaAt(path.slice(0, -1)));
  const meant = closest(key, keys);
  return {
    ...base,
    problem: `is not a known key${meant === undefined ? '' : `; did you mean "${meant}"?`}`,
    accepted: keys.join(', '),
  };
}

function badName(path: ConfigPath, locate: Locate): ConfigProblem {
  const names = schemaAt(path.slice(0, -1))?.propertyNames;
  return {
    path: pathText(path),
    ...locate(path),
    problem: `is not a valid name: ${shown(path.at(-1))}`,
    ...(names === undefined ? {} : { accepted: acceptedAt(names) }),
  };
}

function badValue(path: ConfigPath, value: unknown, locate: Locate): ConfigProblem {
  const node = schemaAt(path);
  const isSecret = SECRET_KEYS.has(path.at(-1));
  const meant =
    typeof value === 'string' && node?.enum !== undefined ? closest(value, node.enum.map(String)) : undefined;
  const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
  return {
    path: pathText(path),
    ...locate(path),
    problem: value === undefined ? 'is missing' : isSecret ? 'is not valid' : `is not valid: ${shown(value)}${hint}`,
    ...(node === undefined ? {} : { accepted: acceptedAt(node) }),
  };
}

function valueAt(input: unknown, path: ConfigPath): unknown {
  let value = input;
  for (const step of path) value = (value as { [key: string]: unknown } | null | undefined)?.[step];
  return value;
}

/** A value as a message shows it: JSON, cut. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > VALUE_TEXT_MAX ? `${text.slice(0, VALUE_TEXT_MAX)}…` : text;
}

// ---------------------------------------------------------------- did you mean

/** The known word that `word` was most likely meant to be; undefined: none is near. */
export function closest(
  word: string,
  known: readonly string[],
  distanceMax: number = Math.max(2, Math.floor(word.length / 3)),
): string | undefined {
  let best: string | undefined;
  let bestDistance = distanceMax + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance && distance < candidate.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
