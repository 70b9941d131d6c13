/**
 * The conformance suite: every engine runs all of it. An engine's test file is three lines:
 *
 *   import { runConformance } from '../conformance/run-conformance.ts';
 *   import { openMemoryHarness } from '../conformance/memory-harness.ts';
 *   runConformance('memory', openMemoryHarness);
 *
 * One file per law in laws/; the sentences with MUST at its head are the law. A case is skipped only where the live engine declares that it
 * lacks a capability the case needs, or has one with which the case means nothing. Every run writes a manifest of what really ran; gate.ts fails where an engine escaped the suite.
 * Engines are judged bare, without the guard of guarded-engine.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { EngineCapabilities } from '../../core/contracts/engine.ts';
import type { HarnessOptions, OpenHarness } from './harness.ts';
import { type Capability, type CapabilityReasons, type Law, type LawCase, openContext } from './law.ts';
import { LAWS } from './laws/index.ts';
import { ManifestRecorder } from './manifest.ts';

/** Far above what a case takes: a hanging engine fails instead of hanging the run. */
const CASE_TIMEOUT_MS = 30_000;

export function runConformance(engine: string, openHarness: OpenHarness): void {
  const recorder = new ManifestRecorder(engine);
  describe(`conformance of ${engine}`, () => {
    before(() => {
      recorder.begin();
      return askIdentity(openHarness, recorder);
    });
    after(() => recorder.write());
    for (const law of LAWS)
      describe(law.name, () => {
        for (const lawCase of law.cases)
          test(lawCase.name, { timeout: CASE_TIMEOUT_MS }, (t) => runCase(t, law, lawCase, openHarness, recorder));
      });
  });
}

/** Asks the live engine who it is and what it can do: the harness could be wired to another one. */
async function askIdentity(openHarness: OpenHarness, recorder: ManifestRecorder): Promise<void> {
  const harness = await openHarness({ members: 1, mayDie: false });
  try {
    const engine = await harness.open(0);
    recorder.identify(await engine.identity(), engine.capabilities);
  } finally {
    await harness.dispose();
  }
}

async function runCase(
  t: TestContext,
  law: Law,
  lawCase: LawCase,
  openHarness: OpenHarness,
  recorder: ManifestRecorder,
): Promise<void> {
  const skip = skipOf(lawCase, recorder.capabilities);
  if (skip !== undefined) {
    recorder.skipped(law, lawCase, skip.capability, skip.reason);
    t.skip(`${skip.capability} is ${recorder.capabilities[skip.capability]}: ${skip.reason}`);
    return;
  }
  const { members = 1, mayDie = false } = lawCase;
  const options: HarnessOptions = { members, mayDie };
  const harness = await openHarness(options);
  try {
    const context = await openContext(harness, members);
    assert.deepEqual({ ...context.engine.capabilities }, { ...recorder.capabilities }, 'capabilities do not change');
    await lawCase.run(context);
    recorder.executed(law, lawCase);
  } catch (error) {
    recorder.failed(law, lawCase);
    throw error;
  } finally {
    await harness.dispose();
  }
}

interface Skip {
  readonly capability: Capability;
  readonly reason: string;
}

function skipOf({ needs = {}, unless = {} }: LawCase, capabilities: EngineCapabilities): Skip | undefined {
  return reasonIn(needs, capabilities, false) ?? reasonIn(unless, capabilities, true);
}

/** The first of `reasons` whose capability is declared as `declared`. */
function reasonIn(reasons: CapabilityReasons, capabilities: EngineCapabilities, declared: boolean): Skip | undefined {
  for (const [name, reason] of Object.entries(reasons)) {
    const capability = name as Capability;
    if (capabilities[capability] === declared) return { capability, reason };
  }
  return undefined;
}
