/** A process with one slot of the embedded engine: `embedded-child.ts <data folder> <slot> <slots> <slot term>`. */
import { openEmbeddedEngine } from '../embedded/embedded-engine.ts';
import { serveEngine } from './serve-engine.ts';

const [dataDir = '', slot, slots, slotTerm] = process.argv.slice(2);
serveEngine(
  await openEmbeddedEngine({
    dataDir,
    slot: { slot: Number(slot), slots: Number(slots), slotTerm: Number(slotTerm) },
  }),
);
