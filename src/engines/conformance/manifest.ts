/**
 * What one run of the suite really did, as `conformance-manifests/<engine>.json` in the project's folder (not checked in).
 * Written at the end of a run, whatever its outcome; a run that is cut short leaves the laws it did not reach unnamed, which the gate sees.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EngineCapabilities } from '../../core/contracts/engine.ts';
import type { Capability, Law, LawCase } from './law.ts';

export interface SkippedCase {
  readonly law: string;
  readonly case: string;
  readonly capability: Capability;
  readonly reason: string;
}

export interface Manifest {
  readonly engine: string;
  /** As the live engine gave it. */
  readonly identity: string;
  readonly capabilities: EngineCapabilities;
  /** Where git knows it. */
  readonly commit?: string;
  /** Cases that ran and passed. */
  readonly executed: number;
  /** law -> the cases that ran and passed */
  readonly laws: { readonly [law: string]: readonly string[] };
  readonly skipped: readonly SkippedCase[];
  readonly failed: readonly { readonly law: string; readonly case: string }[];
}

const PROJECT_FOLDER = fileURLToPath(new URL('../../../', import.meta.url));
export const MANIFEST_FOLDER: string = join(PROJECT_FOLDER, 'conformance-manifests');

export class ManifestRecorder {
  capabilities: EngineCapabilities = {
    ...{ isDurable: true, isShared: true, provesDeath: true, reopens: true },
    takesOrigins: true,
    ack: 'stored',
  };
  readonly #engine: string;
  readonly #laws: { [law: string]: string[] } = {};
  readonly #skipped: SkippedCase[] = [];
  readonly #failed: { law: string; case: string }[] = [];
  #identity = '';

  constructor(engine: string) {
    this.#engine = engine;
  }

  /** A run that never ends must not leave the manifest of an earlier one. */
  begin(folder: string = MANIFEST_FOLDER): void {
    rmSync(join(folder, `${this.#engine}.json`), { force: true });
  }

  identify(identity: string, capabilities: EngineCapabilities): void {
    this.#identity = identity;
    this.capabilities = capabilities;
  }

  executed(law: Law, { name }: LawCase): void {
    this.#laws[law.name] = [...(this.#laws[law.name] ?? []), name];
  }

  skipped(law: Law, { name }: LawCase, capability: Capability, reason: string): void {
    this.#skipped.push({ law: law.name, case: name, capability, reason });
  }

  failed(law: Law, { name }: LawCase): void {
    this.#failed.push({ law: law.name, case: name });
  }

  write(folder: string = MANIFEST_FOLDER): void {
    const commit = currentCommit();
    const manifest: Manifest = {
      engine: this.#engine,
      identity: this.#identity,
      capabilities: this.capabilities,
      ...(commit === undefined ? {} : { commit }),
      executed: Object.values(this.#laws).reduce((sum, cases) => sum + cases.length, 0),
      laws: this.#laws,
      skipped: this.#skipped,
      failed: this.#failed,
    };
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${this.#engine}.json`), `${JSON.stringify(manifest, null, 2)}\n`);
  }
}

/** undefined: there is none, or it is not a manifest. */
export function readManifest(engine: string, folder: string = MANIFEST_FOLDER): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, `${engine}.json`), 'utf8')) as Manifest;
  } catch {
    return undefined;
  }
}

/** undefined: not in a git work tree. */
export function currentCommit(): string | undefined {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], {
      cwd: PROJECT_FOLDER,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}
