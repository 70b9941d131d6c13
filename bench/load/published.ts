/** Tandem as users install it: without sources, so that the launcher runs compiled modules. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Builds it into a temporary folder that is gone when this process ends. The launcher's path. */
export function publishedLauncher(): string {
  execFileSync(process.execPath, [join(ROOT, 'tools', 'build', 'build.ts')], { stdio: ['ignore', 2, 2] });
  const folder = mkdtempSync(join(tmpdir(), 'tandem-published-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const part of ['bin', 'dist', 'package.json', 'config.schema.json'])
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return join(folder, 'bin', 'tandem.js');
}
