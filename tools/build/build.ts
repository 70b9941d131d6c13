/** `npm run build`: dist/ from src/, for the package: compiled modules, and beside them the files that they read. */
import { execFileSync } from 'node:child_process';
import { cpSync, globSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../tidy/project-files.ts';

rmSync(join(PROJECT_ROOT, 'dist'), { recursive: true, force: true });
execFileSync(join(PROJECT_ROOT, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], {
  cwd: PROJECT_ROOT,
  stdio: 'inherit',
});
// A module of the same name would be replaced by it.
for (const path of globSync('**/*.{html,css,js}', { cwd: join(PROJECT_ROOT, 'src') }))
  cpSync(join(PROJECT_ROOT, 'src', path), join(PROJECT_ROOT, 'dist', path), { force: false, errorOnExist: true });
