import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GrowingExtent } from './extent.ts';
import { decodeEntries, encodeSidecar, SidecarDirectory } from './sidecar-format.ts';

const FACTS = {
  segmentId: { low: 1, high: 2 },
  slot: 3,
  end: 12_345,
  hasUnknownLoss: false,
  storeId: '0123456789abcdef',
};

function extents(): GrowingExtent[] {
  const made: GrowingExtent[] = [];
  for (let topic = 0; topic < 300; topic++)
    for (let partition = 0; partition < 2; partition++) {
      const extent = new GrowingExtent(`topic-${topic}`, partition, 2 ** 40 + topic, 1000 + topic);
      for (let i = 0; i <= topic % 5; i++) extent.add(64 + topic * 100 + i * 8, 8, 2 ** 40 + topic + i, 1, 2000 + i);
      made.push(extent);
    }
  return made;
}

test('what is put in is found', () => {
  const bytes = Buffer.concat(encodeSidecar(FACTS, extents()));
  const directory = SidecarDirectory.decode(bytes) as SidecarDirectory;
  assert.deepEqual(directory.facts, FACTS);
  assert.equal(directory.rows, 600);
  for (const extent of extents()) {
    const row = directory.find(extent.topic, extent.partition);
    const { topic, partition, firstOffset, nextOffset, minTimeMs, maxTimeMs, bytes: size } = extent;
    const expected = { topic, partition, firstOffset, nextOffset, minTimeMs, maxTimeMs, bytes: size };
    assert.deepEqual(directory.summary(row), expected);
    const place = directory.entriesPlace(row);
    const entries = decodeEntries(bytes.subarray(place.position, place.position + place.bytes), place);
    assert.ok(entries !== undefined);
    assert.deepEqual(Array.from(entries.positions), extent.positions);
    assert.deepEqual(Array.from(entries.firstOffsets), extent.firstOffsets);
    assert.deepEqual(Array.from(entries.bytesBefore), extent.bytesBefore);
  }
  assert.equal(directory.find('topic-1', 2), -1);
  assert.equal(directory.find('topic', 1), -1);
});

test('any flipped bit is noticed', () => {
  const [extent] = extents();
  const bytes = Buffer.concat(encodeSidecar(FACTS, [extent as GrowingExtent]));
  const directoryBytes = SidecarDirectory.bytesOf(bytes) as number;
  const place = (SidecarDirectory.decode(bytes) as SidecarDirectory).entriesPlace(0);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ 4;
    if (at < directoryBytes) assert.equal(SidecarDirectory.decode(damaged), undefined, `byte ${at}`);
    else assert.equal(decodeEntries(damaged.subarray(place.position, place.position + place.bytes), place), undefined);
  }
});
