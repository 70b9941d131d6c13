/** `npm run build`: dist/ from src/, for the package. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../tidy/project-files.ts';

rmSync(join(PROJECT_ROOT, 'dist'), { recursive: true, force: true });
execFileSync(join(PROJECT_ROOT, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], {
  cwd: PROJECT_ROOT,
  stdio: 'inherit',
});
