import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Lane } from '../../core/contracts/ingest.ts';
import { TandemError } from '../../core/errors.ts';
import type { Framing } from './answers.ts';
import { createFramer } from './framer.ts';
import { Greeting } from './greeting.ts';

const RECORD_BYTES_MAX = 40;

/** Keeps what a framer hands on: a record's text in latin1, or the code of a refusal. */
class HeardLane implements Lane {
  readonly topic = 't';
  readonly partition = 0;
  readonly lastSequence = 0;
  readonly inFlight = 0;
  readonly heard: string[] = [];
  addLines(source: Buffer, start: number, end: number, lengths: Uint32Array, count: number): void {
    let at = start;
    for (let i = 0; i < count; i++) {
      const length = lengths[i] as number;
      this.heard.push(source.toString('latin1', at, at + length));
      assert.equal(source[at + length], 10, 'each line is followed by its line feed');
      at += length + 1;
    }
    assert.equal(at, end, 'the run is exactly the lines');
  }
  addData(head: Uint8Array, tail?: Uint8Array): void {
    this.heard.push(Buffer.concat([head, tail ?? new Uint8Array()]).toString('latin1'));
  }
  refuse(error: TandemError): void {
    this.heard.push(error.code);
  }
  close(): void {}
}

const expected = (records: readonly Uint8Array[]): string[] =>
  records.map((record) =>
    record.length > RECORD_BYTES_MAX ? 'TANDEM_RECORD_TOO_LARGE' : Buffer.from(record).toString('latin1'),
  );

function streamOf(records: readonly Uint8Array[], framing: Framing): Buffer {
  const pieces = records.map((record) => {
    if (framing === 'line') return Buffer.concat([record, Buffer.from('\n')]);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(record.length);
    return Buffer.concat([head, record]);
  });
  return Buffer.concat(pieces);
}

function* chunksOf(stream: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0;
  for (let i = 0; at < stream.length; i++) {
    const size = sizes[i % sizes.length] as number;
    yield Buffer.from(stream.subarray(at, at + size));
    at += size;
  }
}

for (const framing of ['line', 'length'] as const) {
  const anyRecord = fc.uint8Array({ maxLength: RECORD_BYTES_MAX + 20 });
  const record = framing === 'line' ? anyRecord.map((bytes) => bytes.filter((byte) => byte !== 10)) : anyRecord;

  test(`${framing}: finds the same records however the stream is cut, and passes over what is too large`, () => {
    fc.assert(
      fc.property(
        fc.array(record, { maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 8 }),
        (records, sizes) => {
          const lane = new HeardLane();
          const framer = createFramer(framing, RECORD_BYTES_MAX);
          for (const chunk of chunksOf(streamOf(records, framing), sizes)) framer.push(chunk, lane);
          assert.deepEqual(lane.heard, expected(records));
          assert.equal(framer.isMidRecord, false);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test(`${framing}: garbage gives records, refusals or a typed error, nothing else`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 60 }), (bytes, size) => {
        const framer = createFramer(framing, RECORD_BYTES_MAX);
        const greeting = new Greeting(framing);
        try {
          for (const chunk of chunksOf(Buffer.from(bytes), [size])) framer.push(chunk, new HeardLane());
          for (const chunk of chunksOf(Buffer.concat([Buffer.from('HELLO '), bytes]), [size])) greeting.push(chunk);
        } catch (thrown) {
          assert.ok(thrown instanceof TandemError, String(thrown));
        }
      }),
      { numRuns: 2000 },
    );
  });
}

test('a stream that stops inside a record is known as such', () => {
  const line = createFramer('line', RECORD_BYTES_MAX);
  line.push(Buffer.from('whole\npart'), new HeardLane());
  assert.equal(line.isMidRecord, true);
  const length = createFramer('length', RECORD_BYTES_MAX);
  length.push(Buffer.from([0, 0, 0]), new HeardLane());
  assert.equal(length.isMidRecord, true);
});

test('an impossible length ends the stream with a hint', () => {
  const framer = createFramer('length', RECORD_BYTES_MAX);
  assert.throws(() => framer.push(Buffer.from('GET / HTTP/1.1\r\n'), new HeardLane()), /4-byte big-endian/);
});

test('greeting: data is data at once, a HELLO is taken whole, in both framings', () => {
  assert.deepEqual(new Greeting('line').push(Buffer.from('HELP')), { hello: undefined, rest: Buffer.from('HELP') });
  const cut = new Greeting('line');
  assert.equal(cut.push(Buffer.from('HEL')), undefined);
  assert.deepEqual(cut.push(Buffer.from('LO {"producer":"p","seq":3}\r\nx\n')), {
    hello: { producer: 'p', seq: 3 },
    rest: Buffer.from('x\n'),
  });
  const framed = new Greeting('length');
  const text = 'HELLO {"token":"t"}';
  const frame = Buffer.concat([Buffer.from([0, 0, 0, text.length]), Buffer.from(text)]);
  assert.equal(framed.push(frame.subarray(0, 9)), undefined);
  assert.deepEqual(framed.push(frame.subarray(9)), { hello: { token: 't' }, rest: Buffer.alloc(0) });
});

test('greeting: a HELLO without end is refused, and no error repeats a token', () => {
  const greeting = new Greeting('line');
  assert.throws(() => greeting.push(Buffer.from(`HELLO ${'x'.repeat(5000)}`)), /4096/);
  assert.throws(
    () => new Greeting('line').push(Buffer.from('HELLO {"token":5,"secret-thing":"s3cret"}\n')),
    (error: unknown) => error instanceof TandemError && !error.message.includes('s3cret'),
  );
});
