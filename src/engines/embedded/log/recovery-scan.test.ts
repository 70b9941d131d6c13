import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordSetOf } from '../../../core/record-set.ts';
import type { BatchHeader, SegmentId } from './batch-format.ts';
import { FlushBuffer } from './flush-buffer.ts';
import { scanSegment } from './recovery-scan.ts';
import { SEGMENT_HEADER_BYTES } from './segment-format.ts';

const ID: SegmentId = { low: 0x1234_5671, high: 0x9abc_def0 };

/** Writes flushes as the journal does. Every batch is one record of partition 0 of topic `t`, its text as given. */
class SegmentMaker {
  bytes = Buffer.alloc(64 * 1024);
  at = SEGMENT_HEADER_BYTES;
  nextOffset = 0;
  flushNumber = 0;

  flush(...texts: string[]): { start: number; positions: number[] } {
    const buffer = new FlushBuffer();
    const place = { segmentId: ID, flushStart: this.at, flushNumber: ++this.flushNumber };
    const positions: number[] = [];
    for (const text of texts) {
      positions.push(this.at + buffer.byteLength);
      const set = recordSetOf([{ data: Buffer.from(text) }]);
      const fields = { topic: 't', partition: 0, producerId: 'p', sequence: 1, timeMs: 5, term: 3, set };
      buffer.add({ ...fields, firstOffset: this.nextOffset++ }, place);
    }
    const start = this.at;
    Buffer.concat(buffer.pieces()).copy(this.bytes, start);
    this.at += buffer.byteLength;
    return { start, positions };
  }
}

function scan(bytes: Buffer) {
  const found: BatchHeader[] = [];
  const positions: number[] = [];
  const result = scanSegment(bytes, ID, (header, position) => {
    found.push(header);
    positions.push(position);
  });
  return { ...result, offsets: found.map(({ firstOffset }) => firstOffset), positions };
}

test('finds every batch and the end', () => {
  const maker = new SegmentMaker();
  const first = maker.flush('a', 'bb', 'x'.repeat(20_000));
  const second = maker.flush('c');
  const found = scan(maker.bytes);
  assert.deepEqual(found.offsets, [0, 1, 2, 3]);
  assert.deepEqual(found.positions, [...first.positions, ...second.positions]);
  assert.equal(found.end, maker.at);
  assert.equal(found.isTorn, false);
  assert.deepEqual(found.damages, []);
});

test('a flush cut at any byte is a torn tail, and whole batches of it stay', () => {
  const maker = new SegmentMaker();
  maker.flush('a');
  const { positions } = maker.flush('bbbbbbb', 'c', 'dd');
  const ends = [...positions.slice(1), maker.at];
  // The bytes of the last batch's padding carry nothing.
  for (let cut = positions[0] as number; cut < maker.at - 8; cut++) {
    const bytes = Buffer.from(maker.bytes);
    bytes.fill(0, cut);
    const found = scan(bytes);
    const whole = ends.filter((end) => end <= cut).length;
    assert.ok(found.offsets.length >= 1 + whole, `cut at ${cut}`);
    assert.deepEqual(
      found.offsets,
      found.offsets.map((_, i) => i),
    );
    assert.ok(found.end <= maker.at);
    assert.deepEqual(found.damages, [], `cut at ${cut}`);
  }
});

test('a missing piece in the middle of the last flush is a torn tail', () => {
  const maker = new SegmentMaker();
  maker.flush('a');
  const { positions } = maker.flush('b', 'c', 'd');
  maker.bytes.fill(0, positions[1], positions[2]);
  const found = scan(maker.bytes);
  assert.deepEqual(found.offsets, [0, 1]);
  assert.equal(found.end, positions[1]);
  assert.deepEqual(found.damages, []);
});

test('any flipped bit before the last flush is damage, named, and the later batches stay', () => {
  const maker = new SegmentMaker();
  maker.flush('a');
  const { positions } = maker.flush('record one', 'c');
  maker.flush('d');
  const [from, to] = positions as [number, number];
  const headerEnd = from + 80 + 4;
  for (let at = from; at < to; at++) {
    const bytes = Buffer.from(maker.bytes);
    bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
    const found = scan(bytes);
    if (found.damages.length === 0) {
      assert.ok(at >= to - 8, `only padding carries nothing: ${at - from}`);
      continue;
    }
    assert.equal(found.damages.length, 1);
    assert.equal(found.damages[0]?.from, from);
    assert.equal(found.damages[0]?.to, to);
    assert.equal(found.end, maker.at);
    if (at >= headerEnd) {
      assert.equal(found.damages[0]?.header?.firstOffset, 1);
      assert.equal(found.hasUnknownLoss, false);
      assert.deepEqual(found.offsets, [0, 1, 2, 3]);
    } else {
      assert.equal(found.hasUnknownLoss, true);
      assert.deepEqual(found.offsets, [0, 2, 3]);
    }
  }
});

test('remains of a failed flush beyond a shorter later one are not taken', () => {
  const maker = new SegmentMaker();
  maker.flush('a');
  const at = maker.at;
  const failed = maker.flush('b', 'c');
  const [, remains] = failed.positions as [number, number];
  maker.at = at;
  maker.nextOffset = 1;
  maker.flush('B');
  assert.equal(maker.at, remains, 'the remains begin where the later flush ends');
  const found = scan(maker.bytes);
  assert.deepEqual(found.offsets, [0, 1]);
  assert.equal(found.end, remains);
  assert.deepEqual(found.damages, []);
});

test('a batch of another segment inside the data is not taken', () => {
  const other = new SegmentMaker();
  other.flush('foreign');
  const foreign = Buffer.from(other.bytes.subarray(SEGMENT_HEADER_BYTES, other.at));
  foreign.writeUInt32LE(77, 48);
  const maker = new SegmentMaker();
  const { start } = maker.flush('a');
  foreign.copy(maker.bytes, maker.at);
  const found = scan(maker.bytes);
  assert.deepEqual(found.positions, [start]);
  assert.equal(found.end, maker.at);
});
