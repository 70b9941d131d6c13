/** A parsed TypeScript file, with what the rules ask about: imports, functions, calls. Parsed by oxc, so strings and comments cannot mislead. */
import { dirname, join, normalize } from 'node:path/posix';
import { type Comment, parseSync, Visitor } from 'oxc-parser';

export interface ImportEdge {
  /** As written. */
  readonly specifier: string;
  /** The file in the project, for relative specifiers. */
  readonly target: string | undefined;
  /** Erased when the types are stripped. */
  readonly isType: boolean;
  readonly line: number;
}

export interface FunctionSpan {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

/** `Date.now(…)` is `Date.now`; `this.#store.append(…)` is `this.#store.append`; `new Error(…)` is `new Error`. */
export interface CallSite {
  readonly callee: string;
  readonly line: number;
  /** The first argument's source text. */
  readonly firstArgument: string;
}

export interface SourceFile {
  /** From the project's root, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly lines: number;
  readonly imports: readonly ImportEdge[];
  readonly functions: readonly FunctionSpan[];
  readonly calls: readonly CallSite[];
  readonly comments: readonly { readonly text: string; readonly line: number }[];
  readonly syntaxErrors: readonly string[];
}

export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  /** What is wrong and what to do instead. */
  readonly message: string;
}

export type Rule = (files: readonly SourceFile[]) => Violation[];

type Span = { readonly start: number; readonly end: number };

export function parseSource(path: string, text: string): SourceFile {
  const parsed = parseSync(path, text);
  const lineAt = lineIndex(text);
  const functions: FunctionSpan[] = [];
  const calls: CallSite[] = [];
  const imports: ImportEdge[] = [];
  const addFunction = (node: Span, name: string): void => {
    const line = lineAt(node.start);
    functions.push({ name, line, lines: lineAt(node.end) - line + 1 });
  };
  const addCall = (node: Span, callee: Span, args: readonly Span[], prefix = ''): void => {
    const [first] = args;
    calls.push({
      callee: prefix + text.slice(callee.start, callee.end).replace(/\s+|[?!]/g, ''),
      line: lineAt(node.start),
      firstArgument: first === undefined ? '' : text.slice(first.start, first.end),
    });
  };
  const addImport = (specifier: string, isType: boolean, start: number): void => {
    const isRelative = specifier.startsWith('.');
    const target = isRelative ? normalize(join(dirname(path), specifier)) : undefined;
    imports.push({ specifier, target, isType, line: lineAt(start) });
  };

  new Visitor({
    FunctionDeclaration: (node) => addFunction(node, node.id?.name ?? 'default'),
    FunctionExpression: (node) => addFunction(node, node.id?.name ?? '(method)'),
    ArrowFunctionExpression: (node) => addFunction(node, '(arrow)'),
    CallExpression: (node) => addCall(node, node.callee, node.arguments),
    NewExpression(node) {
      addCall(node, node.callee, node.arguments, 'new ');
      const url = moduleUrl(text.slice(node.start, node.end));
      if (url !== undefined) addImport(url, false, node.start);
    },
    ImportExpression(node) {
      if (node.source.type === 'Literal') addImport(String(node.source.value), false, node.start);
    },
    TSImportType: (node) => addImport(String(node.source.value), true, node.start),
  }).visit(parsed.program);
  for (const each of parsed.module.staticImports) {
    const isType = each.entries.length > 0 && each.entries.every((entry) => entry.isType);
    addImport(each.moduleRequest.value, isType, each.start);
  }
  for (const each of parsed.module.staticExports)
    for (const entry of each.entries)
      if (entry.moduleRequest) addImport(entry.moduleRequest.value, entry.isType, entry.start);

  return {
    path,
    text,
    lines: text.endsWith('\n') ? text.split('\n').length - 1 : text.split('\n').length,
    imports,
    functions,
    calls,
    comments: parsed.comments.map((comment: Comment) => ({ text: comment.value, line: lineAt(comment.start) })),
    syntaxErrors: parsed.errors.map((error) => error.message),
  };
}

/** `new URL('./worker-main.ts', import.meta.url)` starts a module just as an import does. */
const moduleUrl = (text: string): string | undefined =>
  /^new URL\(\s*['"](\.[^'"]+\.ts)['"]\s*,\s*import\.meta\.url\s*\)/.exec(text)?.[1];

function lineIndex(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  };
}
