/** What the tests of the embedded engine share: folders and engines that end with the test, and a kill -9 within the process. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { AppendResult, Engine } from '../../../core/contracts/engine.ts';
import type { LogFields, Logger } from '../../../core/contracts/telemetry.ts';
import type { ProducerSequence, TandemRecord } from '../../../core/record.ts';
import { forEachRecord, recordSetOf } from '../../../core/record-set.ts';
import type { EmbeddedEngine, EmbeddedEngineOptions } from '../embedded-engine.ts';
import { openEmbeddedEngine } from '../embedded-engine.ts';

export const PLACE = { topic: 't', partition: 0 };

export function testFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-embedded-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Slot 0 of 1 unless said otherwise; closed after the test. */
export async function openFor(
  t: TestContext,
  dataDir: string,
  options: Partial<EmbeddedEngineOptions> = {},
): Promise<EmbeddedEngine> {
  const slot = { slot: 0, slots: 1, slotTerm: 1 };
  const engine = await openEmbeddedEngine({ slot, lockWaitMs: 2000, segmentBytes: 256 * 1024, ...options, dataDir });
  t.after(() => engine.close());
  return engine;
}

/** The folder as kill -9 would leave it now, as a folder of its own: what the processes hold in memory is not in it. */
export function afterKill(t: TestContext, dataDir: string): string {
  for (let attempt = 1; ; attempt++) {
    const copy = testFolder(t);
    try {
      cpSync(dataDir, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') });
      return copy;
    } catch (error) {
      // A thread that works for the engine has renamed or removed a file just now.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === 50) throw error;
    }
  }
}

export const ensure = (engine: Engine, partitions = 1, name = PLACE.topic, retention = {}) =>
  engine.topics.ensure({ name, partitions, retentionMs: null, retentionBytes: null, ...retention });

export function appendTexts(
  engine: Engine,
  texts: readonly string[],
  producer?: ProducerSequence,
  place = PLACE,
): Promise<AppendResult> {
  const set = recordSetOf(texts.map((text) => ({ data: Buffer.from(text) })));
  return engine.store.append(producer === undefined ? { ...place, set } : { ...place, set, producer });
}

export async function readAll(engine: Engine, place = PLACE, bytesMax = 64 * 1024): Promise<TandemRecord[]> {
  const { firstOffset, nextOffset } = await engine.store.state(place);
  const records: TandemRecord[] = [];
  for (let offset = firstOffset; offset < nextOffset; ) {
    const { batches } = await engine.store.read(place, { epoch: '', offset }, bytesMax);
    for (const batch of batches) {
      forEachRecord(batch, offset, (record) => records.push(record));
      offset = batch.firstOffset + batch.set.count;
    }
  }
  return records;
}

export async function readTexts(engine: Engine, place = PLACE): Promise<string[]> {
  return (await readAll(engine, place)).map(({ data }) => data.toString());
}

export interface LoggedEvent {
  readonly event: string;
  readonly fields: LogFields;
}

/** Keeps warnings and errors. */
export function keepingLogger(events: LoggedEvent[]): Logger {
  const keep = (event: string, fields: LogFields = {}): void => {
    events.push({ event, fields });
  };
  return { debug() {}, info() {}, warn: keep, error: keep };
}
