/** Requests and answers of the peer protocol as frames' heads and bodies. */
import type { AppendBatch, ReadResult } from '../../../core/contracts/engine.ts';
import type { ErrorCode } from '../../../core/errors.ts';
import { TandemError } from '../../../core/errors.ts';
import type { RecordSet, StoredBatch } from '../../../core/record-set.ts';
import { align4 } from '../log/batch-format.ts';
import type { Frame } from './frames.ts';

type AppendHead = Omit<AppendBatch, 'set'> & { readonly count: number; readonly writerTerm: number | undefined };
type BatchHead = Omit<StoredBatch, 'set' | 'topic' | 'partition'> & { readonly count: number; readonly bytes: number };
type ReadHead = Omit<ReadResult, 'batches'> & {
  readonly topic: string;
  readonly partition: number;
  readonly batches: readonly BatchHead[];
};

const PADDING = Buffer.alloc(4);

const lengthsOf = ({ lengths, count }: RecordSet): Uint8Array =>
  new Uint8Array(lengths.buffer, lengths.byteOffset, count * 4);

const setAt = (body: Buffer, at: number, count: number, bytes: number): RecordSet => ({
  count,
  lengths: new Uint32Array(body.buffer, body.byteOffset + at, count),
  data: body.subarray(at + count * 4, at + count * 4 + bytes),
});

export function appendMessage(
  { set, ...rest }: AppendBatch,
  writerTerm: number | undefined,
): { head: AppendHead; body: Uint8Array[] } {
  return { head: { ...rest, count: set.count, writerTerm }, body: [lengthsOf(set), set.data] };
}

export function appendOf({ head, body }: Frame): { batch: AppendBatch; writerTerm: number | undefined } {
  const { count, writerTerm, ...rest } = head as AppendHead;
  return { batch: { ...rest, set: setAt(body, 0, count, body.length - count * 4) }, writerTerm };
}

export function readMessage(
  topic: string,
  partition: number,
  { batches, ...rest }: ReadResult,
): { head: ReadHead; body: Uint8Array[] } {
  const heads: BatchHead[] = [];
  const body: Uint8Array[] = [];
  for (const { topic: _topic, partition: _partition, set, ...head } of batches) {
    heads.push({ ...head, count: set.count, bytes: set.data.length });
    body.push(lengthsOf(set), set.data, PADDING.subarray(0, align4(set.data.length) - set.data.length));
  }
  return { head: { ...rest, topic, partition, batches: heads }, body };
}

export function readResultOf({ head, body }: Frame): ReadResult {
  const { topic, partition, batches: heads, ...rest } = head as ReadHead;
  let at = 0;
  const batches = heads.map(({ count, bytes, ...batch }): StoredBatch => {
    const set = setAt(body, at, count, bytes);
    at += count * 4 + align4(bytes);
    return { ...batch, topic, partition, set };
  });
  return { ...rest, batches };
}

export const errorHead = ({ code, message, data }: TandemError) => ({ code, message, data });

export function errorOf({ head }: Frame): TandemError {
  const { code, message, data } = head as { code: ErrorCode; message: string; data?: { [name: string]: unknown } };
  const error = data === undefined ? new TandemError(code) : new TandemError(code, { data });
  error.message = message;
  return error;
}
