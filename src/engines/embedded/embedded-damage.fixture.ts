/**
 * One flipped bit in a file of the log, and what the engine must make of it:
 * - a record that is served is the one that was acked at that offset;
 * - a record that is not served is covered by TANDEM_LOG_CORRUPT, whose data names its offsets, or, where the engine found at opening
 *   that it lost offsets altogether, by a report in the log that names the damaged file;
 * - offsets that were acked are not given again under the same epoch.
 * One exception, which no log can avoid: after a death, damage to the last flush cannot be told from a flush that was never finished and
 * so never acked; it is reported as a torn end.
 * The state database is not part of this: SQLite has no checksums.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Engine, PartitionState } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import { partitionKey, type TopicPartition } from '../../core/record.ts';
import { recordSetOf, recordsOf } from '../../core/record-set.ts';
import { type Action, anAppend, aPace } from './embedded-actions.fixture.ts';
import { ModelRun, type PlainRecord, plain, readPlain } from './embedded-model.fixture.ts';
import type { NodePace } from './embedded-node.fixture.ts';

export interface Damage {
  readonly appends: readonly (Action & { readonly kind: 'append' })[];
  /** After so many of the appends the node is closed and opened again. */
  readonly reopenAfter: number;
  /** After the appends most of some partitions is trimmed, and what is sealed is compacted. */
  readonly isCompacted: boolean;
  readonly isClosed: boolean;
  readonly pace: NodePace;
  /** A sidecar or a trail. */
  readonly isBeside: boolean;
  readonly file: number;
  readonly fraction: number;
  readonly bit: number;
}

export const aDamage: fc.Arbitrary<Damage> = fc.record({
  appends: fc.array(anAppend, { minLength: 2, maxLength: 12, size: 'max' }),
  reopenAfter: fc.nat(12),
  isCompacted: fc.boolean(),
  isClosed: fc.boolean(),
  pace: aPace,
  isBeside: fc.integer({ min: 0, max: 3 }).map((number) => number === 0),
  file: fc.nat(20),
  fraction: fc.double({ min: 0, max: 1, noNaN: true }),
  bit: fc.nat(7),
});

interface Acked {
  readonly state: PartitionState;
  readonly records: readonly PlainRecord[];
  /** What the last appends of one tick that stored anything stored may be taken for a torn end. */
  readonly beforeLastTick: number;
}

export async function checkDamage(damage: Damage): Promise<void> {
  const run = new ModelRun(damage.pace);
  try {
    await run.open(1);
    const acked = await fill(run, damage);
    if (damage.isClosed) await run.node.close();
    else await run.node.die();
    const files = run.node.logFiles().filter((path) => path.endsWith('.seg') !== damage.isBeside);
    const path = files[damage.file % files.length];
    if (path === undefined) return;
    const end = run.node.contentEnds().get(path) ?? 0;
    run.node.reports.length = 0;
    run.node.flip(path, Math.min(Math.floor(end * damage.fraction), Math.max(0, end - 1)), damage.bit);
    await run.node.open(1);
    const engine = run.node.engines[0] as Engine;
    for (const place of run.places()) await checkPlace(run, engine, place, acked.get(key(place)) as Acked, path);
    await checkGoesOn(run);
  } finally {
    await run.dispose();
  }
}

async function fill(run: ModelRun, { appends, reopenAfter, isCompacted }: Damage): Promise<Map<string, Acked>> {
  const endsOf = async (): Promise<Map<string, number>> => {
    const ends = new Map<string, number>();
    for (const place of run.places()) ends.set(key(place), (await run.model.store.state(place)).nextOffset);
    return ends;
  };
  let ends = new Map<string, number>();
  for (const [i, { appends: choices, via }] of appends.entries()) {
    const before = await endsOf();
    await run.append(choices, via);
    // Repeats alone are no flush.
    const after = await endsOf();
    if ([...after].some(([name, end]) => end > (before.get(name) ?? 0))) ends = before;
    if (i === reopenAfter) {
      await run.node.close();
      await run.node.open(1);
    }
  }
  if (isCompacted) {
    for (const place of [0, 1, 2]) await run.step({ kind: 'trim', place, fraction: 0.7 });
    await run.step({ kind: 'compact', isAwaited: true });
  }
  const acked = new Map<string, Acked>();
  for (const place of run.places()) {
    const state = await (run.node.engines[0] as Engine).store.state(place);
    acked.set(key(place), {
      state,
      records: await readPlain(run.model, place),
      beforeLastTick: ends.get(key(place)) ?? 0,
    });
  }
  return acked;
}

async function checkPlace(
  { node }: ModelRun,
  engine: Engine,
  place: TopicPartition,
  acked: Acked,
  damaged: string,
): Promise<void> {
  const state = await engine.store.state(place);
  const served = await readAround(engine, place, state);
  for (const record of served.records)
    assert.deepEqual(record, acked.records[record.offset - acked.state.firstOffset], 'what was acked there');
  const isReported = node.reportsOf('log_damaged').some(({ fields }) => fields['file'] === damaged);
  const isTorn = node.reportsOf('torn_tail_cut').some(({ fields }) => fields['file'] === damaged);
  if (state.firstOffset > acked.state.firstOffset) assert.ok(isReported, 'lost at the beginning: reported');
  if (state.nextOffset >= acked.state.nextOffset) return;
  const mayBeTorn = isTorn && state.nextOffset >= acked.beforeLastTick;
  assert.ok(isReported || mayBeTorn, `lost from ${state.nextOffset} of ${acked.state.nextOffset}: reported`);
  if (!mayBeTorn) assert.notEqual(state.epoch, acked.state.epoch, 'offsets that are given again are of another epoch');
}

/** Everything that can be read; what is lost must be named by TANDEM_LOG_CORRUPT. */
async function readAround(
  engine: Engine,
  place: TopicPartition,
  state: PartitionState,
): Promise<{ records: PlainRecord[] }> {
  const records: PlainRecord[] = [];
  for (let offset = state.firstOffset; offset < state.nextOffset; ) {
    const from = offset;
    try {
      const { batches } = await engine.store.read(place, { epoch: state.epoch, offset }, 5000);
      assert.ok(batches.length > 0, 'records or damage before the end');
      for (const batch of batches) {
        assert.ok(batch.firstOffset <= offset, `a gap before ${batch.firstOffset} that is not reported`);
        records.push(...recordsOf(batch, from).map(plain));
        offset = batch.firstOffset + batch.set.count;
      }
    } catch (error) {
      offset = corruptUpTo(error, offset);
    }
    assert.ok(offset > from, 'reading goes on');
  }
  return { records };
}

function corruptUpTo(error: unknown, offset: number): number {
  if (!(error instanceof TandemError) || error.code !== 'TANDEM_LOG_CORRUPT') throw error;
  const { file, bytePosition, fromOffset, nextOffset } = error.data as { [name: string]: unknown };
  assert.equal(typeof file, 'string');
  assert.equal(typeof bytePosition, 'number');
  assert.ok(typeof fromOffset === 'number' && fromOffset <= offset, `lost from ${String(fromOffset)}, asked ${offset}`);
  assert.ok(typeof nextOffset === 'number' && nextOffset > offset, `lost to ${String(nextOffset)}, asked ${offset}`);
  return nextOffset;
}

/** Damage is no reason to stop: new records are taken, and found after a reopen. */
async function checkGoesOn(run: ModelRun): Promise<void> {
  const { node } = run;
  const all = run.places();
  const set = recordSetOf([{ data: Buffer.from('after') }]);
  const offsets = new Map<string, number>();
  for (const place of all) {
    const { runs } = await (node.engines[0] as Engine).store.append({ ...place, set });
    offsets.set(key(place), runs[0]?.firstOffset ?? -1);
  }
  await node.close();
  await node.open(1);
  for (const place of all) {
    const offset = offsets.get(key(place)) as number;
    const { batches } = await (node.engines[0] as Engine).store.read(place, { epoch: '', offset }, 1000);
    assert.equal(batches[0] && recordsOf(batches[0], offset)[0]?.data.toString(), 'after');
  }
}

const key = ({ topic, partition }: TopicPartition): string => partitionKey(topic, partition);
