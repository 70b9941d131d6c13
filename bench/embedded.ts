/** The embedded engine alone in this process: the only slot of its node. */
import { type EmbeddedEngine, openEmbeddedEngine } from '../src/engines/embedded/embedded-engine.ts';

export const openSingleEmbeddedEngine = (dataDir: string): Promise<EmbeddedEngine> =>
  openEmbeddedEngine({ dataDir, slot: { slot: 0, slots: 1, slotTerm: 1 } });
