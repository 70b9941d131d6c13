/** Reads a YAML config and remembers on which line each path stands. Duplicate keys and syntax errors are problems with a line. */
import { readFileSync } from 'node:fs';
import { isMap, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { ConfigProblem } from './problems.ts';
import type { ConfigPath } from './schema-tree.ts';

export interface YamlFile {
  readonly input: unknown;
  readonly problems: readonly ConfigProblem[];
  /** The line (from 1) of the key, or of the nearest one above it that the file has. */
  lineOf(path: ConfigPath): number | undefined;
}

export function readYamlFile(path: string): YamlFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const problem = `cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`;
    return { input: {}, problems: [{ path: '', where: path, problem }], lineOf: () => undefined };
  }
  return parseYaml(text, path);
}

export function parseYaml(text: string, fileName: string): YamlFile {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, merge: true });
  const lineAt = (offset: number): number => lineCounter.linePos(offset).line;
  const problems = document.errors.map((error): ConfigProblem => {
    const line = lineAt(error.pos[0]);
    return {
      path: '',
      where: `${fileName}:${line}`,
      line,
      problem: yamlProblem(error.code, error.message, text, error.pos),
    };
  });
  const input: unknown = document.errors.length > 0 ? {} : (document.toJS({ maxAliasCount: 100 }) ?? {});
  return { input, problems, lineOf: (path) => lineOf(document.contents, path, lineAt) };
}

function yamlProblem(code: string, message: string, text: string, pos: readonly [number, number]): string {
  if (code !== 'DUPLICATE_KEY') return `is not valid YAML: ${message}`;
  const key = text.slice(pos[0]).match(/^[^\s:]*/)?.[0] ?? '';
  return `the key "${key}" stands here for the second time`;
}

function lineOf(root: Node | null, path: ConfigPath, lineAt: (offset: number) => number): number | undefined {
  let node: unknown = root;
  let line: number | undefined;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => (item.key as { value?: unknown } | null)?.value === step);
      if (pair === undefined) return line;
      line = startLine(pair.key, lineAt) ?? line;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[step as number];
      line = startLine(node, lineAt) ?? line;
    } else {
      return line;
    }
  }
  return line;
}

function startLine(node: unknown, lineAt: (offset: number) => number): number | undefined {
  const start = (node as { range?: readonly number[] } | null | undefined)?.range?.[0];
  return start === undefined ? undefined : lineAt(start);
}
