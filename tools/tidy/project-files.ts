/** The files that git knows or would know: tracked and untracked, not ignored. Generated files (lock file) are left out. */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseSource, type SourceFile } from './source-file.ts';

export const PROJECT_ROOT: string = join(import.meta.dirname, '..', '..');

const BINARY = /\.(png|jpg|ico|gz|tgz|bin|woff2?|db)$/;
const GENERATED = /(^|\/)package-lock\.json$/;

export interface TextFile {
  readonly path: string;
  readonly text: string;
}

export function textFiles(): TextFile[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: PROJECT_ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return [...new Set(listed.split('\0'))]
    .filter((path) => path !== '' && !BINARY.test(path) && !GENERATED.test(path))
    .filter((path) => statSync(join(PROJECT_ROOT, path), { throwIfNoEntry: false })?.isFile() === true)
    .map((path) => ({ path, text: readFileSync(join(PROJECT_ROOT, path), 'utf8') }));
}

export const parseAll = (files: readonly TextFile[]): SourceFile[] =>
  files
    .filter(({ path }) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
    .map(({ path, text }) => parseSource(path, text));
