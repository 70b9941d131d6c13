/**
 * `npm run build`: what is published.
 *
 *   client/dist/   the package tandem-client, whole: compiled modules and a manifest that names them. In the checkout its manifest names the
 *                  sources, which Node runs as they are, so that nothing has to be built to use it there
 *   dist/          for the package tandem: compiled modules, and beside them the files that they read
 */
import { execFileSync } from 'node:child_process';
import { cpSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../tidy/project-files.ts';

const CLIENT = join(PROJECT_ROOT, 'client');

function compile(folder: string): void {
  rmSync(join(folder, 'dist'), { recursive: true, force: true });
  execFileSync(join(PROJECT_ROOT, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], {
    cwd: folder,
    stdio: 'inherit',
  });
}

compile(CLIENT);
const { private: _, ...manifest } = JSON.parse(readFileSync(join(CLIENT, 'package.json'), 'utf8'));
const exports = { '.': { types: './index.d.ts', default: './index.js' } };
writeFileSync(join(CLIENT, 'dist', 'package.json'), `${JSON.stringify({ ...manifest, exports }, undefined, 2)}\n`);
cpSync(join(CLIENT, 'README.md'), join(CLIENT, 'dist', 'README.md'));
cpSync(join(PROJECT_ROOT, 'LICENSE'), join(CLIENT, 'dist', 'LICENSE'));

compile(PROJECT_ROOT);
// A module of the same name would be replaced by it.
for (const path of globSync('**/*.{html,css,js}', { cwd: join(PROJECT_ROOT, 'src') }))
  cpSync(join(PROJECT_ROOT, 'src', path), join(PROJECT_ROOT, 'dist', path), { force: false, errorOnExist: true });
