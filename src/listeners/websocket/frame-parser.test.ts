import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameParser, type FrameSink } from './frame-parser.ts';

const MESSAGE_BYTES_MAX = 1000;

/** Writes down what comes out, as text. */
class Outcome implements FrameSink {
  readonly events: string[] = [];
  closeCode = 0;
  message(payload: Buffer, isText: boolean): void {
    this.events.push(`${isText ? 'text' : 'binary'} ${payload.toString('hex')}`);
  }
  ping(payload: Buffer): void {
    this.events.push(`ping ${payload.toString('hex')}`);
  }
  pong(): void {
    this.events.push('pong');
  }
  closed(code: number, reason: string): void {
    this.events.push(`closed ${code} ${reason}`);
  }
}

interface FrameForm {
  readonly opcode: number;
  readonly payload: Uint8Array;
  readonly isFinal?: boolean;
  readonly rsv?: number;
  readonly isMasked?: boolean;
  /** Bytes of the length field beyond the seven bits; default: the fewest. */
  readonly lengthBytes?: 0 | 2 | 8;
}

function frame({ opcode, payload, isFinal = true, rsv = 0, isMasked = true, lengthBytes }: FrameForm): Buffer {
  const bytes = payload.length;
  const extra = lengthBytes ?? (bytes < 126 ? 0 : bytes < 0x1_0000 ? 2 : 8);
  const head = Buffer.alloc(2 + extra);
  head[0] = (isFinal ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (isMasked ? 0x80 : 0) | (extra === 0 ? bytes : extra === 2 ? 126 : 127);
  if (extra === 2) head.writeUInt16BE(bytes, 2);
  if (extra === 8) head.writeBigUInt64BE(BigInt(bytes), 2);
  if (!isMasked) return Buffer.concat([head, payload]);
  const mask = Buffer.from([0x12, 0xfe, 0x80, 0x07]);
  const masked = Buffer.from(payload.map((byte, i) => byte ^ (mask[i % 4] as number)));
  return Buffer.concat([head, mask, masked]);
}

/** `cuts`: where the stream is cut into chunks. */
function parse(stream: Buffer, cuts: readonly number[] = []): Outcome {
  const outcome = new Outcome();
  const parser = new FrameParser(MESSAGE_BYTES_MAX);
  const places = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b);
  let start = 0;
  for (const end of [...places, stream.length]) {
    // A copy: the parser owns its chunks and unmasks in them.
    const closeCode = parser.push(Buffer.from(stream.subarray(start, end)), outcome);
    if (outcome.closeCode !== 0) assert.equal(closeCode, outcome.closeCode);
    outcome.closeCode = closeCode;
    assert.ok(parser.heldBytes <= 4 * (MESSAGE_BYTES_MAX + stream.length));
    start = end;
  }
  return outcome;
}

const text = (value: string): Buffer => Buffer.from(value);
const hex = (value: string): string => text(value).toString('hex');

test('text, binary, empty, fragmented with control frames between, and large messages', () => {
  const large = 'x'.repeat(700);
  const stream = Buffer.concat([
    frame({ opcode: 1, payload: text('hé') }),
    frame({ opcode: 2, payload: Buffer.from([0, 255]) }),
    frame({ opcode: 1, payload: text('') }),
    frame({ opcode: 1, payload: text('a'), isFinal: false }),
    frame({ opcode: 9, payload: text('p') }),
    frame({ opcode: 0, payload: text(''), isFinal: false }),
    frame({ opcode: 10, payload: text('') }),
    frame({ opcode: 0, payload: text('b') }),
    frame({ opcode: 1, payload: text(large) }),
    frame({ opcode: 8, payload: Buffer.concat([Buffer.from([0x03, 0xe8]), text('bye')]) }),
    text('whatever comes after the close frame is not looked at'),
  ]);
  const expected = [`text ${hex('hé')}`, 'binary 00ff', 'text ', `ping ${hex('p')}`, 'pong', `text ${hex('ab')}`];
  expected.push(`text ${hex(large)}`, 'closed 1000 bye');
  for (const cuts of [[], Array.from({ length: stream.length }, (_, i) => i)]) {
    const { events, closeCode } = parse(stream, cuts);
    assert.deepEqual(events, expected);
    assert.equal(closeCode, 0);
  }
});

test('each violation has its close code, and nothing comes out after it', () => {
  const after = frame({ opcode: 1, payload: text('after') });
  const violations: [string, Buffer, number][] = [
    ['not masked', frame({ opcode: 1, payload: text('a'), isMasked: false }), 1002],
    ['an RSV bit', frame({ opcode: 1, payload: text('a'), rsv: 4 }), 1002],
    ['an unknown opcode', frame({ opcode: 3, payload: text('a') }), 1002],
    ['an unknown control opcode', frame({ opcode: 11, payload: text('a') }), 1002],
    ['a continuation of nothing', frame({ opcode: 0, payload: text('a') }), 1002],
    ['a fragmented control frame', frame({ opcode: 9, payload: text('a'), isFinal: false }), 1002],
    ['a large control frame', frame({ opcode: 9, payload: Buffer.alloc(126) }), 1002],
    ['a length in too many bytes', frame({ opcode: 1, payload: text('a'), lengthBytes: 2 }), 1002],
    ['a length in far too many bytes', frame({ opcode: 1, payload: Buffer.alloc(200), lengthBytes: 8 }), 1002],
    [
      'a new message within another',
      Buffer.concat([frame({ opcode: 1, payload: text('a'), isFinal: false }), after]),
      1002,
    ],
    ['text that is not UTF-8', frame({ opcode: 1, payload: Buffer.from([0xc3, 0x28]) }), 1007],
    ['too large a message', frame({ opcode: 2, payload: Buffer.alloc(MESSAGE_BYTES_MAX + 1) }), 1009],
    ['a close code that may not be sent', frame({ opcode: 8, payload: Buffer.from([0x03, 0xed]) }), 1002],
    ['half a close code', frame({ opcode: 8, payload: Buffer.from([3]) }), 1002],
    ['a close reason that is not UTF-8', frame({ opcode: 8, payload: Buffer.from([3, 232, 255]) }), 1007],
  ];
  for (const [name, bytes, closeCode] of violations) {
    const outcome = parse(Buffer.concat([bytes, after]), [bytes.length]);
    assert.equal(outcome.closeCode, closeCode, name);
    assert.deepEqual(outcome.events, [], name);
  }
});

test('a message too large in fragments is refused, and a head alone reserves nothing', () => {
  const fragment = frame({ opcode: 0, payload: Buffer.alloc(600), isFinal: false });
  const first = frame({ opcode: 2, payload: Buffer.alloc(600), isFinal: false });
  assert.equal(parse(Buffer.concat([first, fragment])).closeCode, 1009);
  const promise = Buffer.from([0x82, 0xfe, 0x03, 0xe8, 0, 0, 0, 0]);
  const parser = new FrameParser(MESSAGE_BYTES_MAX);
  parser.push(promise, new Outcome());
  assert.ok(parser.heldBytes <= promise.length);
});

test('nothing is held between messages', () => {
  const parser = new FrameParser(MESSAGE_BYTES_MAX);
  const outcome = new Outcome();
  const bytes = Buffer.concat([
    frame({ opcode: 1, payload: text('a'), isFinal: false }),
    frame({ opcode: 0, payload: text('b') }),
  ]);
  for (const byte of bytes) parser.push(Buffer.from([byte]), outcome);
  assert.equal(outcome.events.length, 1);
  assert.equal(parser.heldBytes, 0);
});

const anyFrame = fc
  .record({
    opcode: fc.constantFrom(0, 1, 1, 1, 2, 2, 8, 9, 10, 5),
    payload: fc.oneof(fc.uint8Array({ maxLength: 140 }), fc.string({ maxLength: 60 }).map(text)),
    isFinal: fc.boolean(),
    isMasked: fc.constantFrom(true, true, true, true, false),
  })
  .map(frame);
const anyCuts = fc.array(fc.nat(), { maxLength: 20 });

test('fuzz: how the stream is cut changes nothing', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 8 }), anyCuts, (frames, cuts) => {
      const stream = Buffer.concat(frames);
      const [whole, cut] = [parse(stream), parse(stream, cuts)];
      assert.deepEqual(cut.events, whole.events);
      assert.equal(cut.closeCode, whole.closeCode);
    }),
    { numRuns: 1000 },
  );
});

test('fuzz: any bytes end in events or in a close code, never in anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), anyCuts, (bytes, cuts) => {
      const { closeCode } = parse(Buffer.from(bytes), cuts);
      assert.ok([0, 1002, 1007, 1009].includes(closeCode));
    }),
    { numRuns: 2000 },
  );
});
