/**
 * A process that takes over slot 0 although somebody else may hold it: `claiming-process.ts <data folder> <text>`. Claims the store, removes
 * the lock of the journal, opens it, appends the text to topic `t`, and prints as JSON the
 * first words of the records that it has read before that.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { recordSetOf } from '../../../core/record-set.ts';
import { openEmbeddedEngine } from '../embedded-engine.ts';
import { openStateDatabase } from '../state-database.ts';
import { readTexts } from './embedded-fixture.ts';

const [dataDir = '', text = ''] = process.argv.slice(2);
const state = openStateDatabase(dataDir);
state.claim(state.nextTerm());
rmSync(join(dataDir, 'journal-0', 'lock'));
const engine = await openEmbeddedEngine({ dataDir, slot: { slot: 0, slots: 1, slotTerm: state.nextTerm() } });
const seen = (await readTexts(engine)).map((record) => record.split(' ', 1)[0]);
await engine.store.append({ topic: 't', partition: 0, set: recordSetOf([{ data: Buffer.from(text) }]) });
await engine.close();
state.close();
console.log(JSON.stringify(seen));
