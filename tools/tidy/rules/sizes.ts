/**
 * Functions of at most 70 lines (closures counted), files of at most 400 lines. Files above that are listed in ratchet.json with their
 * size, which may only shrink; none may exceed 600.
 */
import { FILE_LINES_HARD, FILE_LINES_SOFT, FUNCTION_LINES_MAX } from '../layout.ts';
import type { Rule, SourceFile, Violation } from '../source-file.ts';

export type Ratchet = { readonly [path: string]: number };

export const functionSizes: Rule = (files) =>
  files.flatMap((file) =>
    file.functions
      // The callback of a test or a suite is not a function in this sense if all that it does is hold tests: suites are not used here.
      .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
      .map(({ name, line, lines }) =>
        at(
          file.path,
          line,
          `function ${name} has ${lines} lines (at most ${FUNCTION_LINES_MAX}): give its parts names`,
        ),
      ),
  );

export function fileSizes(files: readonly SourceFile[], ratchet: Ratchet): Violation[] {
  const sizes = new Map(files.map(({ path, lines }) => [path, lines]));
  const stale = Object.entries(ratchet).flatMap(([path, allowed]) => {
    const lines = sizes.get(path);
    if (lines === undefined) return [at(path, 1, 'is in ratchet.json but does not exist: remove the entry')];
    if (lines <= FILE_LINES_SOFT) return [at(path, 1, `has ${lines} lines now: remove it from ratchet.json`)];
    return lines < allowed
      ? [at(path, 1, `has shrunk to ${lines} lines: lower its entry in ratchet.json from ${allowed}`)]
      : [];
  });
  const large = files.flatMap(({ path, lines }) => {
    const allowed = Math.min(ratchet[path] ?? FILE_LINES_SOFT, FILE_LINES_HARD);
    return lines > allowed ? [at(path, 1, `has ${lines} lines (at most ${allowed}): split it by idea`)] : [];
  });
  return [...stale, ...large];
}

const at = (path: string, line: number, message: string): Violation => ({ path, line, rule: 'sizes', message });
