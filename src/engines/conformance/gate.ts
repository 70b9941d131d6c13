/**
 * The gate after the tests: fails if an engine that Tandem supports escaped the conformance suite.
 *
 *   node src/engines/conformance/gate.ts [folder of manifests]      exit code 0: all ran; 1: the problems are on stderr
 *
 * Problems: no manifest, another engine's manifest, one of another commit, nothing executed, a failed case, a case of the suite that was
 * neither executed nor skipped, a skip of a case that the suite does not have, a skip for a capability that the engine claims (or, if the
 * case is for engines without it, does not claim) or that the case does not name.
 */
import { pathToFileURL } from 'node:url';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import type { Law } from './law.ts';
import { LAWS } from './laws/index.ts';
import { currentCommit, MANIFEST_FOLDER, type Manifest, readManifest, type SkippedCase } from './manifest.ts';

/** Every engine that Tandem supports, in each form in which it runs. */
export const SUPPORTED_ENGINES: readonly string[] = [
  ...['memory', 'embedded'],
  ...['redis-standalone', 'redis-sentinel', 'redis-cluster'],
];

/** Those that this run must have tried: in CI all; elsewhere what needs servers only where they are installed. */
function expectedEngines(): readonly string[] {
  const isCi = (process.env['CI'] ?? '') !== '' && process.env['CI'] !== 'false';
  return isCi || missingRedis() === false
    ? SUPPORTED_ENGINES
    : SUPPORTED_ENGINES.filter((engine) => !engine.startsWith('redis'));
}

export interface GateOptions {
  readonly folder?: string;
  readonly engines?: readonly string[];
  readonly laws?: readonly Law[];
  readonly commit?: string | undefined;
}

/** All problems; none: the gate is open. */
export function gateProblems(options: GateOptions = {}): string[] {
  const { folder = MANIFEST_FOLDER, engines = expectedEngines(), laws = LAWS } = options;
  return engines.flatMap((engine) => {
    const manifest = readManifest(engine, folder);
    if (manifest === undefined) return [`${engine}: no manifest; its conformance tests did not run`];
    return manifestProblems(engine, manifest, laws, options.commit).map((problem) => `${engine}: ${problem}`);
  });
}

function manifestProblems(engine: string, manifest: Manifest, laws: readonly Law[], commit?: string): string[] {
  const problems: string[] = [];
  if (manifest.engine !== engine) problems.push(`the manifest is of ${manifest.engine}`);
  if (!isOf(engine, manifest.identity)) problems.push(`the live engine said it is "${manifest.identity}"`);
  if (commit !== undefined && manifest.commit !== undefined && manifest.commit !== commit)
    problems.push(`the manifest is of commit ${manifest.commit}, not ${commit}; run the tests again`);
  if (!(manifest.executed > 0)) problems.push('nothing was executed');
  for (const failed of manifest.failed) problems.push(`failed: ${failed.law}: ${failed.case}`);
  for (const skip of manifest.skipped) problems.push(...skipProblems(skip, manifest, laws));
  for (const law of laws)
    for (const { name } of law.cases)
      if (!isAccountedFor(manifest, law.name, name)) problems.push(`did not run: ${law.name}: ${name}`);
  return problems;
}

/** `redis-sentinel` calls itself `redis 7.0.15 sentinel ...`, and may be Valkey, which is what the same engine is for. */
function isOf(engine: string, identity: string): boolean {
  const [product = '', form = ''] = engine.split('-');
  const [name, ...rest] = identity.split(' ');
  const isProduct = name === product || (product === 'redis' && name === 'valkey');
  return isProduct && (form === '' || rest.includes(form));
}

function skipProblems(skip: SkippedCase, manifest: Manifest, laws: readonly Law[]): string[] {
  const what = `${skip.law}: ${skip.case}`;
  const lawCase = laws.find(({ name }) => name === skip.law)?.cases.find(({ name }) => name === skip.case);
  if (lawCase === undefined) return [`skipped what the suite does not have: ${what}`];
  const isNeeded = lawCase.needs?.[skip.capability] !== undefined;
  if (!isNeeded && lawCase.unless?.[skip.capability] === undefined)
    return [`skipped for a capability it does not need: ${what}`];
  const declared = manifest.capabilities[skip.capability];
  if (isNeeded && declared !== false) return [`claims ${skip.capability} but skipped ${what}`];
  if (!isNeeded && declared !== true) return [`does not claim ${skip.capability} but skipped ${what}`];
  return skip.reason === '' ? [`skipped without a reason: ${what}`] : [];
}

function isAccountedFor({ laws, skipped, failed }: Manifest, law: string, name: string): boolean {
  if (laws[law]?.includes(name)) return true;
  return [...skipped, ...failed].some((entry) => entry.law === law && entry.case === name);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const folder = process.argv[2];
  const problems = gateProblems({ commit: currentCommit(), ...(folder === undefined ? {} : { folder }) });
  for (const problem of problems) process.stderr.write(`conformance gate: ${problem}\n`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
