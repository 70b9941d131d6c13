/**
 * Answers of the TCP and UDP listeners, as text: `OK <partition>:<offset>`, `OK <partition>:-` (the place is not known: stored earlier, or still in
 * a spool), `ERR <code> <text>`. A run of consecutive offsets is written by counting up the digits in place, not by formatting each.
 */
import type { TandemError } from '../../core/errors.ts';

export type Framing = 'line' | 'length';

export interface StoredAnswer {
  readonly partition: number;
  readonly firstOffset: number;
  count: number;
}

/** Consecutive answers: places, or one refusal for `count` records. */
export type Answer = StoredAnswer | { readonly error: TandemError; readonly count: number };

/** Whether records that are stored at `firstOffset` can be counted to `answer`. */
export function continues(answer: Answer, partition: number, firstOffset: number): answer is StoredAnswer {
  if ('error' in answer || answer.partition !== partition) return false;
  if (firstOffset === -1 || answer.firstOffset === -1) return firstOffset === answer.firstOffset;
  return answer.firstOffset + answer.count === firstOffset;
}

/** Of one record. */
export const placeText = (partition: number, offset: number): string =>
  `OK ${partition}:${offset === -1 ? '-' : offset}`;

const ZERO = 48;
const NINE = 57;
const LINE_FEED = 10;
const LENGTH_BYTES = 4;

/** The bytes of all answers, in one piece. */
export function encodeAnswers(answers: readonly Answer[], framing: Framing): Buffer {
  if (answers.length === 1) return encodeAnswer(answers[0] as Answer, framing);
  return Buffer.concat(answers.map((answer) => encodeAnswer(answer, framing)));
}

function encodeAnswer(answer: Answer, framing: Framing): Buffer {
  if ('error' in answer) return repeated(refusalText(answer.error), answer.count, framing);
  if (answer.firstOffset === -1) return repeated(placeText(answer.partition, -1), answer.count, framing);
  return countedUp(answer, framing);
}

export function refusalText(error: TandemError): string {
  return `ERR ${error.code} ${error.message.replaceAll(/[\r\n]+/g, ' ')}`;
}

/** One answer or frame of text. */
export function frameText(text: string, framing: Framing): Buffer {
  if (framing === 'line') return Buffer.from(`${text}\n`);
  const bytes = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + bytes);
  frame.writeUInt32BE(bytes, 0);
  frame.write(text, LENGTH_BYTES);
  return frame;
}

function repeated(text: string, count: number, framing: Framing): Buffer {
  const frame = frameText(text, framing);
  return count === 1 ? frame : Buffer.alloc(frame.length * count, frame);
}

function countedUp(answer: StoredAnswer, framing: Framing): Buffer {
  const { firstOffset, count } = answer;
  const prefix = `OK ${answer.partition}:`;
  const head = framing === 'length' ? LENGTH_BYTES : 0;
  const tail = framing === 'line' ? 1 : 0;
  const digitsMax = String(firstOffset + count - 1).length;
  const bytes = Buffer.allocUnsafe((head + prefix.length + digitsMax + tail) * count);
  let at = 0;
  let offset = firstOffset;
  const end = firstOffset + count;
  while (offset < end) {
    const text = prefix + offset;
    const length = head + text.length + tail;
    if (head > 0) bytes.writeUInt32BE(text.length, at);
    bytes.write(text, at + head, 'latin1');
    if (tail > 0) bytes[at + length - 1] = LINE_FEED;
    at += length;
    offset++;
    // The following offsets with as many digits: copy the answer before, count up.
    const sameLengthEnd = Math.min(end, 10 ** String(offset - 1).length);
    const lastDigit = length - tail - 1;
    for (; offset < sameLengthEnd; offset++) {
      for (let i = 0; i < length; i++) bytes[at + i] = bytes[at - length + i] as number;
      let digit = at + lastDigit;
      while (bytes[digit] === NINE) bytes[digit--] = ZERO;
      bytes[digit] = (bytes[digit] as number) + 1;
      at += length;
    }
  }
  return at === bytes.length ? bytes : bytes.subarray(0, at);
}
