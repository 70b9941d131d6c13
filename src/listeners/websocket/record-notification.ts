/**
 * Deliveries to WebSocket clients: JSON-RPC notifications, one text frame each.
 *
 *   record   {channel, position, partition, offset, time, key?, headers?, data | base64}; `position` resumes after this record
 *   gap      {channel, position, missed, reason}: records before `position` were missed (`missed` null: their number is not known)
 *   closing  {code, message, hint, positions}: the last message before the close frame; positions: channel -> position to resume from
 */
import type { PushEncoder } from '../../core/contracts/push.ts';
import type { TandemError } from '../../core/errors.ts';
import { recordMembers } from '../http/record-json.ts';
import { encodeTextFrame } from './frame-encoder.ts';
import { notification } from './json-rpc.ts';

export const webSocketEncoder: PushEncoder = {
  encode: (channel, record, position) =>
    encodeTextFrame(
      notification(
        'record',
        `{"channel":${JSON.stringify(channel)},"position":"${position()}",${recordMembers(record)}}`,
      ),
    ),
  encodeGap: (channel, gap) => encodeTextFrame(notification('gap', JSON.stringify({ channel, ...gap }))),
};

export function closingText(error: TandemError, positions: ReadonlyMap<string, string>): string {
  const { code, message, hint } = error;
  return notification('closing', JSON.stringify({ code, message, hint, positions: Object.fromEntries(positions) }));
}
