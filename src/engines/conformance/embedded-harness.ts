/** A member of the embedded engine is a slot: in this process, or where a case kills it, in a child process of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '../../core/contracts/engine.ts';
import { openEmbeddedEngine } from '../embedded/embedded-engine.ts';
import { openStateDatabase } from '../embedded/state-database.ts';
import type { EngineHarness, HarnessOptions } from './harness.ts';
import { openRemoteEngine, type RemoteEngine } from './remote-engine.ts';

const CHILD = new URL('./embedded-child.ts', import.meta.url);

export async function openEmbeddedHarness({ members: slots, mayDie }: HarnessOptions): Promise<EngineHarness> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tandem-conformance-'));
  const engines = new Map<number, Engine>();
  const remotes = new Map<number, RemoteEngine>();
  // As a keeper issues them: above what was claimed meanwhile.
  const state = openStateDatabase(dataDir);
  const open = async (slot: number): Promise<Engine> => {
    const slotTerm = state.nextTerm();
    if (mayDie) {
      const remote = await openRemoteEngine(CHILD, [dataDir, slot, slots, slotTerm].map(String));
      remotes.set(slot, remote);
      return remote;
    }
    const engine = await openEmbeddedEngine({ dataDir, slot: { slot, slots, slotTerm } });
    engines.set(slot, engine);
    return engine;
  };
  return {
    open,
    async reopen(slot) {
      await engines.get(slot)?.close();
      return open(slot);
    },
    async kill(slot) {
      await remotes.get(slot)?.kill();
    },
    async suspend(slot) {
      remotes.get(slot)?.suspend();
    },
    async resume(slot) {
      remotes.get(slot)?.resume();
    },
    async dispose() {
      for (const engine of engines.values()) await engine.close();
      for (const remote of remotes.values()) await remote.kill();
      state.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
