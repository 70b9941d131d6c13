/**
 * The opening handshake of RFC 6455 section 4.2, server side. No extensions are offered.
 *
 * The subprotocol `tandem.v1` is what /ws speaks anyway. A client that offers it wants to be told in that protocol why it is refused: browsers
 * hide the answer of a failed handshake from the page, so a wrong token would look like a dead server.
 */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { TandemError } from '../../core/errors.ts';

const KEY = /^[A-Za-z0-9+/]{22}==$/;
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
export const WEBSOCKET_VERSION = '13';
const SUBPROTOCOL = 'tandem.v1';

/** The response head that opens the connection. Errors: TANDEM_INPUT_MALFORMED, TANDEM_METHOD_NOT_ALLOWED. */
export function acceptHandshake(method: string | undefined, headers: IncomingHttpHeaders): string {
  if (method !== 'GET')
    throw new TandemError('TANDEM_METHOD_NOT_ALLOWED', { detail: 'a WebSocket handshake is a GET' });
  if (headers['sec-websocket-version'] !== WEBSOCKET_VERSION)
    throw malformed(`Sec-WebSocket-Version must be ${WEBSOCKET_VERSION}`);
  const key = headers['sec-websocket-key'];
  if (key === undefined || !KEY.test(key)) throw malformed('Sec-WebSocket-Key must be 16 bytes as base64');
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64');
  const protocol = offersSubprotocol(headers) ? `Sec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n` : '';
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${protocol}\r\n`;
}

export const offersSubprotocol = (headers: IncomingHttpHeaders): boolean =>
  headers['sec-websocket-protocol']?.split(',').some((offered) => offered.trim() === SUBPROTOCOL) === true;

const malformed = (detail: string): TandemError => new TandemError('TANDEM_INPUT_MALFORMED', { detail });
