/**
 * Deliveries to WebSocket clients: JSON-RPC notifications, one text frame each.
 *
 *   record   {term, channel, position, partition, offset, time, key?, headers?, data | base64}; `position` resumes after this record
 *   gap      {term, channel, position, missed, reason}: records before `position` were missed (`missed` null: their number is not known)
 *   closing  {term, code, message, hint, positions}: the last message before the close frame; positions: channel -> position to resume from
 *
 * `term` is the node's: who has heard of a newer one drops what comes under an older. It never changes while the process serves.
 */
import type { PushEncoder, PushGap } from '../../core/contracts/push.ts';
import type { TandemError } from '../../core/errors.ts';
import type { TandemRecord } from '../../core/record.ts';
import { recordMembers } from '../http/record-json.ts';
import { encodeTextFrame } from './frame-encoder.ts';
import { notification } from './json-rpc.ts';

export class WebSocketEncoder implements PushEncoder {
  readonly #term: number;
  /** Up to the channel's value. */
  readonly #recordStart: string;

  constructor(term: number) {
    this.#term = term;
    this.#recordStart = `{"jsonrpc":"2.0","method":"record","params":{"term":${term},"channel":`;
  }

  encode(channel: string, record: TandemRecord, position: () => string): Buffer {
    return encodeTextFrame(
      `${this.#recordStart}${JSON.stringify(channel)},"position":"${position()}",${recordMembers(record)}}}`,
    );
  }

  encodeGap(channel: string, gap: PushGap): Buffer {
    return encodeTextFrame(notification('gap', JSON.stringify({ term: this.#term, channel, ...gap })));
  }

  /** A text frame. */
  closing(error: TandemError, positions: ReadonlyMap<string, string>): Buffer {
    const { code, message, hint } = error;
    const facts = { term: this.#term, code, message, hint, positions: Object.fromEntries(positions) };
    return encodeTextFrame(notification('closing', JSON.stringify(facts)));
  }
}
