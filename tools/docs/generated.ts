/** The files that are made from the code. `npm run docs` writes them; docs.test.ts fails when one is stale. */
import { configJsonSchema } from '../../src/config/schema-tree.ts';
import { configPage } from './config-page.ts';
import { errorsPage } from './errors-page.ts';

/** Path from the project's root -> content. */
export const GENERATED: ReadonlyMap<string, () => string> = new Map([
  ['config.schema.json', () => `${JSON.stringify(configJsonSchema, null, 2)}\n`],
  ['docs/config.md', configPage],
  ['docs/errors.md', errorsPage],
]);
