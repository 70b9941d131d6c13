/**
 * A process with one slot that fronts may reach: `owner-process.ts <data folder> <slot> <slots> <slot term> <round>`. It is open when all slots
 * of its round are recovered.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../../core/testing/until.ts';
import { serveEngine } from '../../conformance/serve-engine.ts';
import { prepareEmbeddedEngine } from '../embedded-engine.ts';

const [dataDir = '', slot, slots, slotTerm, round] = process.argv.slice(2);
// Frames often, so that a recovery meets trails.
const prepared = await prepareEmbeddedEngine({ dataDir, hasFronts: true, trailPace: { batches: 8, bytes: 1 << 20 } });
const taken = { slot: Number(slot), slots: Number(slots), slotTerm: Number(slotTerm) };
const recovered = await prepared.recover({ slot: taken });
const mark = (of: number): string => join(dataDir, `recovered-${round}-${of}`);
writeFileSync(mark(taken.slot), '');
await until('all slots are recovered', () => Array.from({ length: taken.slots }, (_, i) => mark(i)).every(existsSync));
serveEngine(await recovered.open());
