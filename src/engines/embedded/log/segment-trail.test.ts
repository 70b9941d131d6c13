import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import fc from 'fast-check';
import { silentLogger } from '../../../core/contracts/telemetry.ts';
import { systemDisk } from '../../../core/ports/disk.ts';
import { recordSetOf } from '../../../core/record-set.ts';
import { FlushBuffer } from './flush-buffer.ts';
import { PartitionLog, type ProducerState } from './partition-log.ts';
import { EMPTY_WINDOW } from './producer-window.ts';
import { scanSegment } from './recovery-scan.ts';
import { type Segment, segmentAt } from './segment.ts';
import { SEGMENT_HEADER_BYTES } from './segment-format.ts';
import { SegmentIndex } from './segment-index.ts';
import { SegmentTrail } from './segment-trail.ts';
import { readTrail } from './trail-format.ts';

const ID = { low: 0x1234_5671, high: 0x9abc_def0 };
const PARTITIONS = 3;
const PRODUCERS = 3;

interface Batch {
  readonly partition: number;
  /** 0: none. */
  readonly producer: number;
  readonly count: number;
  /** So many sequences are left out before it. */
  readonly skipped: number;
}

const batch: fc.Arbitrary<Batch> = fc.record({
  partition: fc.nat(PARTITIONS - 1),
  producer: fc.nat(PRODUCERS),
  count: fc.integer({ min: 1, max: 5 }),
  skipped: fc.nat(10).map((n) => (n === 0 ? 3 : 0)),
});
const flushes = fc.array(fc.array(batch, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 30 });

/** Writes batches into a segment in memory, and tells a trail of them, as the journal does. */
class Writer {
  readonly #segment: Segment;
  readonly trail: SegmentTrail;
  readonly #logs = Array.from({ length: PARTITIONS }, (_, partition) => {
    const facts = { epoch: 'e', firstOffset: 7_000_000_000 + partition, term: 1 };
    return new PartitionLog(`topic-${partition % 2}`, partition, facts, []);
  });
  readonly #producers = new Map<string, { state: ProducerState; sequence: number }>();
  readonly #pieces: Buffer[] = [Buffer.alloc(SEGMENT_HEADER_BYTES)];
  at = SEGMENT_HEADER_BYTES;
  #flushes = 0;

  constructor(folder: string, pace: { batches: number; bytes: number }) {
    this.#segment = segmentAt(folder, 0, { first: 1, last: 1, generation: 0 }, ID);
    this.trail = new SegmentTrail(this.#segment, { disk: systemDisk, logger: silentLogger, pace });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }
  get trailBytes(): Buffer {
    return readFileSync(this.#segment.trailPath);
  }

  flush(batches: readonly Batch[], timeMs: number): void {
    const buffer = new FlushBuffer();
    const place = { segmentId: ID, flushStart: this.at, flushNumber: ++this.#flushes };
    for (const { partition, producer, count, skipped } of batches) {
      const log = this.#logs[partition] as PartitionLog;
      const known = producer === 0 ? undefined : this.#producer(partition, producer);
      const sequence = known === undefined ? 0 : known.sequence + skipped;
      if (known !== undefined) known.sequence = sequence + count;
      const set = recordSetOf(Array.from({ length: count }, () => ({ data: Buffer.from('x') })));
      const { topic, nextOffset: firstOffset } = log;
      const producerId = known?.state.producerId ?? '';
      const position = this.at + buffer.byteLength;
      buffer.add({ topic, partition, producerId, sequence, firstOffset, timeMs, term: 1, set }, place);
      log.nextOffset += count;
      this.trail.add(log, known?.state, { position, firstOffset, count, timeMs }, sequence);
    }
    this.#pieces.push(Buffer.concat(buffer.pieces()));
    this.at += buffer.byteLength;
    this.trail.flushed(this.at);
  }

  #producer(partition: number, producer: number): { state: ProducerState; sequence: number } {
    const key = `${partition}/${producer}`;
    let known = this.#producers.get(key);
    if (known === undefined) {
      const unseen = { pending: undefined, seenMs: 0, isDirty: false, trail: undefined, trailOrigin: 0 };
      known = { state: { producerId: `p${producer}`, window: EMPTY_WINDOW, ...unseen }, sequence: 1 };
      this.#producers.set(key, known);
    }
    return known;
  }
}

function newWriter(t: TestContext, pace = { batches: 5, bytes: 1 << 20 }): Writer {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-trail-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return new Writer(folder, pace);
}

function scanned(bytes: Buffer, index = new SegmentIndex(1), from = 0): SegmentIndex {
  scanSegment(bytes.subarray(from), ID, (header, position) => index.addBatch(header, position), { from });
  return index;
}

/** Everything that recovery asks of an index. */
function contentsOf(index: SegmentIndex) {
  const extents = [...index.extents()].map((extent) => ({
    ...extent,
    positions: [...(extent.positions as Uint32Array)],
    firstOffsets: [...(extent.firstOffsets as Float64Array)],
    bytesBefore: [...(extent.bytesBefore as Uint32Array)],
    summary: index.extent(extent.topic, extent.partition),
    lastPosition: index.lastPosition(extent.topic, extent.partition),
  }));
  const producers = [...index.producers()].map((seen) => ({
    ...seen,
    window: index.window(seen.topic, seen.partition, seen.producerId, EMPTY_WINDOW),
    later: index.window(seen.topic, seen.partition, seen.producerId, { lastSequence: 4, runs: [1, 1, 4] }),
  }));
  const byName = (a: { topic: string; partition: number }, b: { topic: string; partition: number }): number =>
    `${a.topic}/${a.partition}`.localeCompare(`${b.topic}/${b.partition}`);
  return { rows: index.rows, extents: extents.sort(byName), producers: producers.sort(byName), topics: index.topics() };
}

test('a trail and a scan of what follows it tell the same as a scan of the whole', (t) => {
  fc.assert(
    fc.property(flushes, fc.integer({ min: 1, max: 40 }), fc.boolean(), (all, pace, isClosed) => {
      const writer = newWriter(t, { batches: pace, bytes: 1 << 20 });
      all.forEach((batches, i) => {
        writer.flush(batches, 1_700_000_000_000 + i * 1000);
      });
      if (isClosed) writer.trail.close(writer.at);
      const expected = contentsOf(scanned(writer.bytes));
      let trail: ReturnType<typeof readTrail>;
      try {
        trail = readTrail(writer.trailBytes, ID);
      } catch (error) {
        // Too little for a frame.
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT');
        return;
      }
      assert.ok(trail !== undefined);
      assert.deepEqual(contentsOf(scanned(writer.bytes, trail.index, trail.to)), expected);
    }),
    { numRuns: 60 },
  );
});

test('a trail that is cut or damaged anywhere counts up to there, and nothing in it is made up', (t) => {
  const writer = newWriter(t, { batches: 4, bytes: 1 << 20 });
  for (let i = 0; i < 12; i++)
    writer.flush(
      [0, 1, 2].map((partition) => ({ partition, producer: i % 3, count: 1 + (i % 2), skipped: 0 })),
      5_000_000_000 + i,
    );
  const { bytes, trailBytes: whole } = writer;
  const expected = contentsOf(scanned(bytes));
  const check = (harmed: Buffer, what: string): number => {
    const trail = readTrail(harmed, ID) ?? { index: new SegmentIndex(1), to: SEGMENT_HEADER_BYTES };
    assert.deepEqual(contentsOf(scanned(bytes, trail.index, trail.to)), expected, what);
    return trail.to;
  };
  const end = check(whole, 'whole');
  for (let at = 0; at < whole.length; at += 3) {
    const cut = check(whole.subarray(0, at), `cut at ${at}`);
    const flipped = Buffer.from(whole);
    flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
    const zeroed = Buffer.from(whole);
    zeroed.fill(0, at);
    assert.equal(check(flipped, `a bit of byte ${at}`), cut, 'up to the damaged frame');
    // Frames may end with zeros.
    assert.ok(check(zeroed, `zeros from ${at}`) >= cut);
    assert.ok(cut < end);
  }
  assert.equal(readTrail(whole, { low: ID.low + 2, high: ID.high }), undefined, 'of another segment');
});

test('frames are written by batches and by bytes, a clock that steps back is told exactly', (t) => {
  const writer = newWriter(t, { batches: 1000, bytes: 300 });
  const one = { partition: 0, producer: 1, count: 1, skipped: 0 };
  writer.flush([one], 9_000_000_000);
  assert.throws(() => writer.trailBytes, { code: 'ENOENT' });
  writer.flush([{ ...one, partition: 1 }, one], 8_000_000_000);
  writer.flush([one], 8_000_000_001);
  const trail = readTrail(writer.trailBytes, ID);
  assert.ok(trail !== undefined);
  assert.deepEqual(contentsOf(scanned(writer.bytes, trail.index, trail.to)), contentsOf(scanned(writer.bytes)));
});

test('after a failed write of a frame none follows', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-trail-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const warnings: string[] = [];
  const logger = { ...silentLogger, warn: (event: string) => void warnings.push(event) };
  const segment = segmentAt(join(folder, 'missing'), 0, { first: 1, last: 1, generation: 0 }, ID);
  const trail = new SegmentTrail(segment, { disk: systemDisk, logger, pace: { batches: 1, bytes: 1 } });
  const log = new PartitionLog('t', 0, { epoch: 'e', firstOffset: 0, term: 1 }, []);
  for (let i = 0; i < 3; i++) {
    trail.add(log, undefined, { position: 64 + i * 96, firstOffset: i, count: 1, timeMs: 5 }, 0);
    trail.flushed(64 + (i + 1) * 96);
  }
  trail.close(400);
  assert.deepEqual(warnings, ['trail_not_written']);
});
