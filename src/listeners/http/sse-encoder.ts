/**
 * Deliveries to Server-Sent Events clients. The `id:` of every event is the position to resume from after it, so that the browser's
 * `Last-Event-ID` is right by itself.
 *
 *   (no event name)  a record: {term, partition, offset, time, key?, headers?, data | base64}
 *   position         first of all: {term, channel, position, isComplete}; isComplete false: the asked position is lost, records were missed
 *   gap              {term, channel, position, missed, reason}: records before `position` were missed
 *   closing          {term, code, message, hint, positions}: the server ends the stream
 *
 * `term` is the node's: who has heard of a newer one drops what comes under an older. It never changes while the process serves.
 */
import type { PushEncoder, PushGap, SubscribeAnswer } from '../../core/contracts/push.ts';
import type { TandemError } from '../../core/errors.ts';
import type { TandemRecord } from '../../core/record.ts';
import { recordMembers } from './record-json.ts';

/** The browser waits so long before it connects again. */
const RETRY_MS = 1000;
export const KEEP_ALIVE_COMMENT: Buffer = Buffer.from(':\n\n');

export class SseEncoder implements PushEncoder {
  readonly #term: number;
  /** Between a record's position and its members. */
  readonly #recordStart: string;

  constructor(term: number) {
    this.#term = term;
    this.#recordStart = `\ndata: {"term":${term},`;
  }

  encode(_channel: string, record: TandemRecord, position: () => string): Buffer {
    return Buffer.from(`id: ${position()}${this.#recordStart}${recordMembers(record)}}\n\n`);
  }

  encodeGap(channel: string, gap: PushGap): Buffer {
    return Buffer.from(event('gap', JSON.stringify({ term: this.#term, channel, ...gap }), gap.position));
  }

  opening(answer: SubscribeAnswer): string {
    return `retry: ${RETRY_MS}\n${event('position', JSON.stringify({ term: this.#term, ...answer }), answer.position)}`;
  }

  closing(error: TandemError, positions: ReadonlyMap<string, string>): string {
    const { code, message, hint } = error;
    const facts = { term: this.#term, code, message, hint, positions: Object.fromEntries(positions) };
    return event('closing', JSON.stringify(facts));
  }
}

function event(name: string, json: string, id?: string): string {
  return id === undefined ? `event: ${name}\ndata: ${json}\n\n` : `event: ${name}\nid: ${id}\ndata: ${json}\n\n`;
}
