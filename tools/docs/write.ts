/** `npm run docs` */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../tidy/project-files.ts';
import { GENERATED } from './generated.ts';

for (const [path, content] of GENERATED) {
  writeFileSync(join(PROJECT_ROOT, path), content());
  process.stdout.write(`${path}\n`);
}
