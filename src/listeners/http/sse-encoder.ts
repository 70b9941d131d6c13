/**
 * Deliveries to Server-Sent Events clients. The `id:` of every event is the position to resume from after it, so that the browser's
 * `Last-Event-ID` is right by itself.
 *
 *   (no event name)  a record: {partition, offset, time, key?, headers?, data | base64}
 *   position         first of all: {channel, position, isComplete}; isComplete false: the asked position is lost, records were missed
 *   gap              {channel, position, missed, reason}: records before `position` were missed
 *   closing          {code, message, hint, positions}: the server ends the stream
 */
import type { PushEncoder, SubscribeAnswer } from '../../core/contracts/push.ts';
import type { TandemError } from '../../core/errors.ts';
import { recordMembers } from './record-json.ts';

/** The browser waits so long before it connects again. */
const RETRY_MS = 1000;
export const KEEP_ALIVE_COMMENT: Buffer = Buffer.from(':\n\n');

export const sseEncoder: PushEncoder = {
  encode: (_channel, record, position) => Buffer.from(`id: ${position()}\ndata: {${recordMembers(record)}}\n\n`),
  encodeGap: (channel, gap) => Buffer.from(event('gap', JSON.stringify({ channel, ...gap }), gap.position)),
};

export function openingText(answer: SubscribeAnswer): string {
  return `retry: ${RETRY_MS}\n${event('position', JSON.stringify(answer), answer.position)}`;
}

export function closingText(error: TandemError, positions: ReadonlyMap<string, string>): string {
  const { code, message, hint } = error;
  return event('closing', JSON.stringify({ code, message, hint, positions: Object.fromEntries(positions) }));
}

function event(name: string, json: string, id?: string): string {
  return id === undefined ? `event: ${name}\ndata: ${json}\n\n` : `event: ${name}\nid: ${id}\ndata: ${json}\n\n`;
}
