/** Data flows right, types flow left: the import matrix, cycles, and files that nothing reaches. */
import { ENTRY_POINTS, IMPORTS_ALLOWED, isProduction, isTest, isTestSupport, PACKAGES, stageOf } from '../layout.ts';
import type { Rule, SourceFile, Violation } from '../source-file.ts';

export const importMatrix: Rule = (files) =>
  files.flatMap((file) => {
    const stage = stageOf(file.path);
    if (stage === undefined || !isProduction(file.path)) return [];
    const allowed = IMPORTS_ALLOWED[stage];
    if (allowed === undefined)
      return [
        violation(
          file,
          1,
          `src/${stage} is not a stage of the design; put the file into one (see tools/tidy/layout.ts)`,
        ),
      ];
    return file.imports.flatMap(({ specifier, target, line }) => {
      if (target === undefined && stage === 'client')
        return [violation(file, line, `client may not import ${specifier}: browsers run it as it is`)];
      const other = target === undefined ? PACKAGES[specifier] : (stageOf(target) ?? 'outside src');
      if (other === undefined || other === stage || allowed.includes(other)) return [];
      return [
        violation(
          file,
          line,
          `${stage} may not import ${other} (${specifier}); use a contract in core/contracts, and let topology/ connect the two`,
        ),
      ];
    });
  });

export const noProductionImportOfTests: Rule = (files) =>
  files
    .filter((file) => isProduction(file.path))
    .flatMap((file) =>
      file.imports
        .filter(({ target }) => target !== undefined && (isTest(target) || isTestSupport(target)))
        .map(({ target, line }) => violation(file, line, `production code may not import test code (${target})`)),
    );

/** Cycles of imports that remain at run time and of those that are types: both make a module impossible to read alone. */
export const noCycles: Rule = (files) => {
  const graph = new Map(files.map((file) => [file.path, file]));
  const state = new Map<string, 'open' | 'done'>();
  const violations: Violation[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const file = graph.get(path);
    if (file === undefined || state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      const cycle = [...trail.slice(trail.indexOf(path)), path];
      violations.push({
        path,
        line: 1,
        rule: 'imports',
        message: `a cycle: ${cycle.join(' -> ')}; move what they share into a third file`,
      });
      return;
    }
    state.set(path, 'open');
    for (const { target } of file.imports) if (target !== undefined) visit(target, [...trail, path]);
    state.set(path, 'done');
  };
  for (const file of files) visit(file.path, []);
  return violations;
};

/** A file of src must be reached from a program (not only from its test); test support from a test. */
export const noUnreachedFiles: Rule = (files) => {
  const graph = new Map(files.map((file) => [file.path, file]));
  const isEntry = (file: SourceFile): boolean => ENTRY_POINTS.some((pattern) => pattern.test(file.path));
  const fromPrograms = reach(
    files.filter((file) => isEntry(file) && !isTest(file.path)),
    graph,
  );
  const fromTests = reach(
    files.filter((file) => isTest(file.path)),
    graph,
  );
  return files
    .filter(({ path }) => stageOf(path) !== undefined && !isTest(path))
    .filter(({ path }) => !fromPrograms.has(path) && !(isTestSupport(path) && fromTests.has(path)))
    .map((file) =>
      violation(
        file,
        1,
        fromTests.has(file.path)
          ? 'only its test reaches this file; use it or remove it'
          : 'nothing reaches this file; use it or remove it',
      ),
    );
};

function reach(roots: readonly SourceFile[], graph: ReadonlyMap<string, SourceFile>): Set<string> {
  const reached = new Set<string>();
  const queue = roots.map((file) => file.path);
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    for (const { target } of graph.get(path)?.imports ?? []) if (target !== undefined) queue.push(target);
  }
  return reached;
}

const violation = (file: SourceFile, line: number, message: string): Violation => ({
  path: file.path,
  line,
  rule: 'imports',
  message,
});
