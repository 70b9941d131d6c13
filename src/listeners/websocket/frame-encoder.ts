/** Frames from server to client (RFC 6455 section 5): never masked, never fragmented, each in one contiguous buffer. */

const FINAL = 0x80;
const TEXT = 0x1;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;
const CONTROL_BYTES_MAX = 125;

/** One text message. A string is encoded as UTF-8; a buffer must hold UTF-8. */
export function encodeTextFrame(payload: string | Buffer): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
  const headBytes = bytes < 126 ? 2 : bytes < 0x1_0000 ? 4 : 10;
  const frame = Buffer.allocUnsafe(headBytes + bytes);
  frame[0] = FINAL | TEXT;
  if (headBytes === 2) frame[1] = bytes;
  else if (headBytes === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(bytes, 2);
  } else {
    frame[1] = 127;
    frame.writeUInt32BE(Math.floor(bytes / 0x1_0000_0000), 2);
    frame.writeUInt32BE(bytes >>> 0, 6);
  }
  if (typeof payload === 'string') frame.write(payload, headBytes, 'utf8');
  else frame.set(payload, headBytes);
  return frame;
}

export const PING_FRAME: Buffer = controlFrame(PING, Buffer.alloc(0));

/** `payload` is that of a ping: at most 125 bytes. */
export const encodePongFrame = (payload: Buffer): Buffer => controlFrame(PONG, payload);

/** A reason longer than 123 bytes is cut. `code` 0: a close frame without a code. */
export function encodeCloseFrame(code: number, reason: string): Buffer {
  if (code === 0) return controlFrame(CLOSE, Buffer.alloc(0));
  const payload = Buffer.alloc(Math.min(CONTROL_BYTES_MAX, 2 + Buffer.byteLength(reason)));
  payload.writeUInt16BE(code);
  const written = payload.write(reason, 2, 'utf8');
  return controlFrame(CLOSE, payload.subarray(0, 2 + written));
}

function controlFrame(opcode: number, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafeSlow(2 + payload.length);
  frame[0] = FINAL | opcode;
  frame[1] = payload.length;
  frame.set(payload, 2);
  return frame;
}
