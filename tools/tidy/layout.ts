/**
 * The project's laws as data: which stage may import which, where a program begins, what belongs to tests. Rules read this; a change
 * here is a change of the architecture and belongs into ARCHITECTURE.md.
 */

/** A stage may import itself and these. `src/engines/x` is a stage of its own; `engines` are the files directly in src/engines. */
export const IMPORTS_ALLOWED: { readonly [stage: string]: readonly string[] } = {
  core: [],
  engines: ['core'],
  'engines/embedded': ['core', 'engines'],
  'engines/memory': ['core', 'engines'],
  'engines/redis': ['core', 'engines'],
  'engines/spooled': ['core', 'engines'],
  'engines/conformance': ['core', 'engines'],
  listeners: ['core'],
  ingest: ['core'],
  consumers: ['core'],
  sessions: ['core'],
  push: ['core', 'sessions'],
  rpc: ['core'],
  dbsync: ['core'],
  backup: ['core'],
  cluster: ['core'],
  supervisor: ['core'],
  health: ['core'],
  admin: ['core'],
  telemetry: ['core'],
  config: ['core'],
  /** The only place that names concrete classes of two stages. */
  topology: [
    'core',
    'engines',
    'engines/embedded',
    'engines/memory',
    'engines/redis',
    'engines/spooled',
    'listeners',
    'ingest',
    'consumers',
    'sessions',
    'push',
    'rpc',
    'dbsync',
    'backup',
    'cluster',
    'supervisor',
    'health',
    'admin',
    'telemetry',
    'config',
  ],
  cli: ['core', 'config', 'topology', 'client'],
  /** A package of its own that browsers run too: it imports nothing, no module of Node's either. */
  client: [],
  /** The package's public door. */
  index: ['core', 'config', 'consumers', 'topology', 'engines', 'engines/conformance'],
};

/** Where programs begin. Everything else in src must be reached from here. */
export const ENTRY_POINTS: readonly RegExp[] = [
  /^src\/index\.ts$/,
  /^src\/cli\/main\.ts$/,
  /^client\/src\/index\.ts$/,
  /^(bench|chaos|examples|tools)\//,
  /\.(test|bench)\.ts$/,
];

/** Not tests themselves, but only tests use them: reached from a test is enough, and the stage laws do not hold. */
export const TEST_SUPPORT: readonly RegExp[] = [
  /\.fixture\.ts$/,
  /^src\/engines\/conformance\//,
  /\/testing\//,
  /^src\/core\/ports\/manual-[a-z-]+\.ts$/,
];

/** Code that a seed must be able to replay: no ambient time, randomness, files or sockets. */
export const REPLAYABLE: readonly RegExp[] = [
  /^src\/(cluster|ingest|consumers)\//,
  /^src\/engines\/embedded\/(log|journal|state|pure)\//,
  /^src\/engines\/memory\//,
];

export const FILE_LINES_SOFT = 400;
export const FILE_LINES_HARD = 600;
export const FUNCTION_LINES_MAX = 70;

/** Tests and measurements. */
export const isTest = (path: string): boolean => /\.(test|bench)\.ts$/.test(path);
export const isTestSupport = (path: string): boolean => TEST_SUPPORT.some((pattern) => pattern.test(path));
export const isProduction = (path: string): boolean =>
  (path.startsWith('src/') || path.startsWith('client/src/')) && !isTest(path) && !isTestSupport(path);

/** Packages of this project, by the name under which others import them, and the stage that they are. */
export const PACKAGES: { readonly [name: string]: string } = { 'tandem-client': 'client' };

/** `src/listeners/tcp/framer.ts` -> `listeners`; `src/engines/memory/x.ts` -> `engines/memory`; `src/index.ts` -> `index`; `client/src/x.ts` -> `client`. */
export function stageOf(path: string): string | undefined {
  const [root, first, second, third] = path.split('/');
  if (root === 'client' && first === 'src') return 'client';
  if (root !== 'src' || first === undefined) return undefined;
  if (second === undefined) return first.replace(/\.ts$/, '');
  return first === 'engines' && third !== undefined ? `engines/${second}` : first;
}
