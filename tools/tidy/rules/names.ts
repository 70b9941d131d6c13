/** Folders by stage of the flow, files in kebab-case, no machine's paths in what is committed. */
import type { Rule, Violation } from '../source-file.ts';

const FOLDERS_BANNED = new Set([
  'utils',
  'util',
  'common',
  'helpers',
  'helper',
  'types',
  'interfaces',
  'classes',
  'misc',
  'shared',
  'lib',
]);
const FILE_NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.(model|conformance|fixture|lua))?(\.(test|bench))?\.ts$/;
const MACHINE_PATH = /(?<![\w.])\/(work|home|root|Users|tmp\/bash_jobs)\/[\w.-]+/;

export const names: Rule = (files) =>
  files.flatMap(({ path }) => {
    const steps = path.split('/');
    const file = steps.pop() ?? '';
    const folder = steps.find((step) => FOLDERS_BANNED.has(step));
    const found: Violation[] = [];
    if (folder !== undefined)
      found.push(at(path, 1, `the folder name "${folder}" says nothing; name it after the stage or the noun inside`));
    if (!FILE_NAME.test(file))
      found.push(
        at(path, 1, `the file name "${file}" is not kebab-case (x-y.ts, x-y.test.ts, x-y.fixture.ts, x-y.bench.ts)`),
      );
    return found;
  });

/** For every text file of the project, not only TypeScript. */
export function machinePaths(files: readonly { readonly path: string; readonly text: string }[]): Violation[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => {
      const match = MACHINE_PATH.exec(line);
      return match === null
        ? []
        : [
            at(
              path,
              index + 1,
              `names a path of one machine (${match[0]}); take it from the environment or a temporary folder`,
            ),
          ];
    }),
  );
}

const at = (path: string, line: number, message: string): Violation => ({ path, line, rule: 'names', message });
