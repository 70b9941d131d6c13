/** The form of a law, and what its cases work with. */
import assert from 'node:assert/strict';
import type { AppendResult, Engine, EngineCapabilities, TopicInfo } from '../../core/contracts/engine.ts';
import { systemClock } from '../../core/ports/clock.ts';
import type { ProducerSequence, RecordInput, TandemRecord, TopicPartition } from '../../core/record.ts';
import { forEachRecord, type RecordSet, recordSetOf } from '../../core/record-set.ts';
import type { EngineHarness } from './harness.ts';

export interface Law {
  /** The file's name. */
  readonly name: string;
  readonly cases: readonly LawCase[];
}

/** Those that an engine has or lacks. */
export type Capability = Exclude<keyof EngineCapabilities, 'ack' | 'answersBeforePlaces'>;
export type CapabilityReasons = { readonly [C in Capability]?: string };

export interface LawCase {
  readonly name: string;
  /** Default 1. */
  readonly members?: number;
  readonly mayDie?: boolean;
  /** Skipped, for the reason given, if the engine declares that it lacks the capability. */
  readonly needs?: CapabilityReasons;
  /** Skipped, for the reason given, if the engine declares that it has the capability. There is no other way to skip. */
  readonly unless?: CapabilityReasons;
  run(context: LawContext): Promise<void>;
}

export interface LawContext {
  /** The live members' engines. */
  readonly engines: Engine[];
  /** That of member 0. */
  readonly engine: Engine;
  reopen(member?: number): Promise<Engine>;
  kill(member: number): Promise<void>;
  /** Stops the member's process, as SIGSTOP does, until `resume`. */
  suspend(member: number): Promise<void>;
  resume(member: number): Promise<void>;
  /** In the place of a killed member. */
  replace(member: number): Promise<Engine>;
}

export async function openContext(harness: EngineHarness, members: number): Promise<LawContext> {
  const engines: Engine[] = [];
  for (let member = 0; member < members; member++) engines.push(await harness.open(member));
  const put = (member: number, engine: Engine): Engine => {
    engines[member] = engine;
    return engine;
  };
  return {
    engines,
    get engine() {
      return engines[0] as Engine;
    },
    reopen: async (member = 0) => put(member, await harness.reopen(member)),
    kill: (member) => harness.kill(member),
    suspend: (member) => harness.suspend(member),
    resume: (member) => harness.resume(member),
    replace: async (member) => put(member, await harness.open(member)),
  };
}

export const TOPIC = 'law';
export const PLACE: TopicPartition = { topic: TOPIC, partition: 0 };
export const START = { epoch: '', offset: 0 } as const;

export function ensureTopic(engine: Engine, partitions: number = 1, name: string = TOPIC): Promise<TopicInfo> {
  return engine.topics.ensure({ name, partitions, retentionMs: null, retentionBytes: null });
}

export const textSet = (...texts: readonly string[]): RecordSet =>
  recordSetOf(texts.map((text) => ({ data: Buffer.from(text) })));

/** `count` different texts that say which they are. */
export const texts = (prefix: string, count: number, first: number = 0): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${first + i}`);

export interface AppendExtras {
  readonly producer?: ProducerSequence;
  readonly term?: number;
  readonly place?: TopicPartition;
}

export function append(engine: Engine, values: readonly string[], extras: AppendExtras = {}): Promise<AppendResult> {
  const { place = PLACE, ...rest } = extras;
  return engine.store.append({ ...place, ...rest, set: textSet(...values) });
}

export const appendRecords = (engine: Engine, records: readonly RecordInput[]): Promise<AppendResult> =>
  engine.store.append({ ...PLACE, set: recordSetOf(records) });

/** The offset of the first stored record of the result; fails if it is not one stored run. */
export function storedAt(result: AppendResult): number {
  assert.equal(result.runs.length, 1, 'one run');
  assert.equal(result.runs[0]?.isDuplicate, false, 'stored now');
  return result.runs[0]?.firstOffset as number;
}

/** Reads from the oldest record to the end in steps of about `bytesMax`; fails on a gap or a repeat. */
export async function readAll(
  engine: Engine,
  place: TopicPartition = PLACE,
  bytesMax = 64 * 1024,
): Promise<TandemRecord[]> {
  const { firstOffset, epoch } = await engine.store.state(place);
  const records: TandemRecord[] = [];
  for (let offset = firstOffset; ; ) {
    const { batches } = await engine.store.read(place, { epoch, offset }, bytesMax);
    if (batches.length === 0) return records;
    for (const batch of batches) {
      assert.ok(batch.firstOffset <= offset, `no gap: batch at ${batch.firstOffset}, wanted ${offset}`);
      const end = batch.firstOffset + batch.set.count;
      assert.ok(end > offset, `no repeat: batch ends at ${end}, wanted ${offset}`);
      forEachRecord(batch, offset, (record) => records.push(record));
      offset = end;
    }
  }
}

export async function readTexts(engine: Engine, place: TopicPartition = PLACE): Promise<string[]> {
  return (await readAll(engine, place)).map((record) => record.data.toString());
}

/** Rejects if the condition does not come true within ten seconds. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 10_000;
  while (!(await condition())) {
    if (systemClock.monotonicMs() > deadlineMs) assert.fail(`not within 10 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
