/** A process with a spool before Redis: `spooling-process.ts <data folder> <slot term> <options as JSON>`, where the options have the `url`. */
import { serveEngine } from '../../conformance/serve-engine.ts';
import { openEmbeddedEngine } from '../../embedded/embedded-engine.ts';
import { openRedisEngine } from '../../redis/redis-engine.ts';
import { openSpooledEngine } from '../spooled-engine.ts';

const [dataDir = '', slotTerm, json = '{}'] = process.argv.slice(2);
const { url, ...options } = JSON.parse(json) as { readonly url: string };
const local = await openEmbeddedEngine({ dataDir, slot: { slot: 0, slots: 1, slotTerm: Number(slotTerm) } });
const remote = await openRedisEngine({ url });
serveEngine(await openSpooledEngine({ ...options, local, remote, originId: `spool/${local.storeId}` }));
