/** A spool between two memory stores, either of which a test can take away. */
import type { TestContext } from 'node:test';
import type { AppendResult, Engine } from '../../../core/contracts/engine.ts';
import type { LogFields, Logger } from '../../../core/contracts/telemetry.ts';
import { DEFAULT_LIMITS } from '../../../core/limits.ts';
import { systemClock } from '../../../core/ports/clock.ts';
import { seededRandom } from '../../../core/ports/random.ts';
import type { ProducerSequence } from '../../../core/record.ts';
import { recordSetOf, recordsOf } from '../../../core/record-set.ts';
import { type MemoryEngine, MemoryStore, openMemoryEngine } from '../../memory/memory-engine.ts';
import { openSpooledEngine, type SpooledEngine, type SpoolOptions } from '../spooled-engine.ts';
import { type MemorySpoolLog, openMemorySpoolLog } from './memory-spool-log.ts';

export const PLACE = { topic: 't', partition: 0 };
export const TOPIC = { name: 't', partitions: 1, retentionMs: null, retentionBytes: null };

export interface LoggedEvent {
  readonly event: string;
  readonly fields: LogFields;
}

export interface SpoolStage {
  readonly localStore: MemoryStore;
  readonly remoteStore: MemoryStore;
  readonly events: LoggedEvent[];
  readonly remote: MemoryEngine;
  readonly local: MemorySpoolLog;
  spool: SpooledEngine;
  /** As a new process of the slot; what the last one had in hand is dropped, unless it was closed. */
  restart(options?: Partial<SpoolOptions>): Promise<SpooledEngine>;
}

export const base = { clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS };

export async function openStage(t: TestContext, given: Partial<SpoolOptions> = {}): Promise<SpoolStage> {
  const [localStore, remoteStore] = [new MemoryStore(base), new MemoryStore(base)];
  const events: LoggedEvent[] = [];
  const keep = (event: string, fields: LogFields = {}): void => {
    events.push({ event, fields });
  };
  const logger: Logger = { debug() {}, info: keep, warn: keep, error: keep };
  const open = async (options: Partial<SpoolOptions>) => {
    const local = openMemorySpoolLog({ ...base, store: localStore });
    const remote = openMemoryEngine({ ...base, store: remoteStore });
    const defaults = { ...base, logger, originId: 'spool/x', roundMs: 10, drainMs: 500 };
    return { local, remote, spool: await openSpooledEngine({ ...defaults, local, remote, ...options }) };
  };
  const opened = await open(given);
  const stage = {
    ...{ localStore, remoteStore, events },
    ...opened,
    async restart(options: Partial<SpoolOptions> = {}) {
      stage.local.memory.kill();
      stage.remote.kill();
      await stage.spool.close();
      Object.assign(stage, await open({ ...given, ...options }));
      return stage.spool;
    },
  };
  t.after(() => stage.spool.close());
  return stage;
}

export function append(
  engine: Engine,
  texts: readonly string[],
  producer?: ProducerSequence,
  place = PLACE,
): Promise<AppendResult> {
  const set = recordSetOf(texts.map((text) => ({ data: Buffer.from(text) })));
  return engine.store.append(producer === undefined ? { ...place, set } : { ...place, set, producer });
}

/** `count` different texts. */
export const texts = (prefix: string, count: number, first = 0): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${first + i}`);

/** What a store holds of a partition, from its first offset on. */
export function textsIn(store: MemoryStore, place = PLACE): string[] {
  if (store.findTopic(place.topic) === undefined) return [];
  const partition = store.partition(place);
  const { batches } = partition.read({ epoch: '', offset: partition.firstOffset }, Number.POSITIVE_INFINITY);
  return batches.flatMap((batch) =>
    recordsOf(batch, Math.max(batch.firstOffset, partition.firstOffset)).map(({ data }) => data.toString()),
  );
}

export const metric = (engine: SpooledEngine, name: string): number | undefined =>
  engine.metrics().find((sample) => sample.name === `tandem_spool_${name}`)?.value;
