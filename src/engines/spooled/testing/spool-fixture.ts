/** A spool between two memory stores, either of which a test can take away. */
import type { TestContext } from 'node:test';
import type { AppendResult, Engine } from '../../../core/contracts/engine.ts';
import type { LogFields, Logger } from '../../../core/contracts/telemetry.ts';
import { TandemError } from '../../../core/errors.ts';
import { DEFAULT_LIMITS } from '../../../core/limits.ts';
import { systemClock } from '../../../core/ports/clock.ts';
import { seededRandom } from '../../../core/ports/random.ts';
import type { ProducerSequence } from '../../../core/record.ts';
import { recordSetOf, recordsOf } from '../../../core/record-set.ts';
import { until } from '../../../core/testing/until.ts';
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
  /** A new process of the slot while the last one is not quite gone. Closed after the test. */
  another(): Promise<SpooledEngine>;
}

const base = { clock: systemClock, random: seededRandom(1), limits: DEFAULT_LIMITS };

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
    async another() {
      const { spool } = await open(given);
      t.after(() => spool.close());
      return spool;
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

/** Resolves when the remote store has all that the local one has, and the spool knows it. */
export function forwarded({ spool, localStore, remoteStore }: SpoolStage): Promise<unknown> {
  const isThere = (topic: string, partition: number): boolean => {
    if (remoteStore.findTopic(topic) === undefined) return false;
    const { epoch, nextOffset } = localStore.partition({ topic, partition });
    const ids = ['', '/1'].map((turn) => `spool/x/${epoch}${turn}`);
    return ids.some((id) => remoteStore.partition({ topic, partition }).originSequence(id) === nextOffset);
  };
  return until(
    'all is forwarded',
    () =>
      localStore
        .listTopics()
        .every(({ name, partitions }) =>
          Array.from({ length: partitions }, (_, i) => i).every((i) => isThere(name, i)),
        ) && metric(spool, 'records') === 0,
  );
}

export const metric = (engine: SpooledEngine, name: string): number | undefined =>
  engine.metrics().find((sample) => sample.name === `tandem_spool_${name}`)?.value;

/** Calls of the remote engine fail until `back` is called. */
export function takeAway({ remote }: Pick<SpoolStage, 'remote'>): { back(): void } {
  const { store, topics } = remote;
  const away = async () => {
    throw new TandemError('TANDEM_STORE_UNREACHABLE');
  };
  const kept = { append: store.append, originSequence: store.originSequence, lastSequence: store.lastSequence };
  const keptTopics = { ensure: topics.ensure, find: topics.find, list: topics.list };
  Object.assign(store, { append: away, originSequence: away, lastSequence: away });
  Object.assign(topics, { ensure: away, find: away, list: away });
  return {
    back() {
      Object.assign(store, kept);
      Object.assign(topics, keptTopics);
    },
  };
}
