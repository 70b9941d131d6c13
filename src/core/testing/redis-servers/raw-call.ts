/** One command over a connection of its own, to a server under test: beside the code that is tested, and bounded when the server hangs. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { TandemError } from '../../errors.ts';

/** Strings for bulk and simple strings. */
export type RawReply = string | number | null | readonly RawReply[];

export interface RawTarget {
  readonly host: string;
  readonly port: number;
  readonly password: string | undefined;
  /** Over TLS, to a server whose certificate this one has signed. */
  readonly caPath?: string | undefined;
}

const BOUND_MS = 3000;

/** Rejects with TANDEM_STORE_UNREACHABLE if there is no answer in 3 s, with TANDEM_STORE_FAILED and the server's words if it answers with an error. */
export function rawCall({ host, port, password, caPath }: RawTarget, args: readonly string[]): Promise<RawReply> {
  const commands = password === undefined ? [args] : [['AUTH', password], args];
  return new Promise((resolve, reject) => {
    const socket = caPath === undefined ? connect(port, host) : connectTls({ port, host, ca: readFileSync(caPath) });
    const gone = (why: string): void => {
      socket.destroy();
      reject(new TandemError('TANDEM_STORE_UNREACHABLE', { detail: `${host}:${port}, ${args[0]}: ${why}` }));
    };
    let received = Buffer.alloc(0);
    socket.setTimeout(BOUND_MS, () => gone('no answer'));
    socket.on('error', (error) => gone(error.message));
    socket.on('close', () => gone('closed'));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      const replies = readReplies(received);
      if (replies.length < commands.length) return;
      socket.destroy();
      const reply = replies.at(-1)?.value ?? null;
      if (reply instanceof TandemError) reject(reply);
      else resolve(reply);
    });
    for (const command of commands) socket.write(encode(command));
  });
}

const encode = (args: readonly string[]): string =>
  `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('')}`;

interface Read {
  readonly value: RawReply | TandemError;
  readonly end: number;
}

/** The complete replies at the beginning of the bytes. */
function readReplies(bytes: Buffer): Read[] {
  const replies: Read[] = [];
  for (let at = 0; at < bytes.length; ) {
    const reply = readReply(bytes, at);
    if (reply === undefined) break;
    replies.push(reply);
    at = reply.end;
  }
  return replies;
}

function readReply(bytes: Buffer, start: number): Read | undefined {
  const lineEnd = bytes.indexOf('\r\n', start);
  if (lineEnd === -1) return undefined;
  const text = bytes.toString('utf8', start + 1, lineEnd);
  const end = lineEnd + 2;
  switch (String.fromCharCode(bytes[start] ?? 0)) {
    case '+':
      return { value: text, end };
    case '-':
      return { value: new TandemError('TANDEM_STORE_FAILED', { detail: text }), end };
    case ':':
      return { value: Number(text), end };
    case '$':
      return readBulk(bytes, end, Number(text));
    default:
      return readArray(bytes, end, Number(text));
  }
}

function readBulk(bytes: Buffer, start: number, length: number): Read | undefined {
  if (length < 0) return { value: null, end: start };
  const end = start + length;
  return bytes.length < end + 2 ? undefined : { value: bytes.toString('utf8', start, end), end: end + 2 };
}

function readArray(bytes: Buffer, start: number, length: number): Read | undefined {
  if (length < 0) return { value: null, end: start };
  const values: RawReply[] = [];
  let end = start;
  for (let index = 0; index < length; index++) {
    const item = readReply(bytes, end);
    if (item === undefined) return undefined;
    values.push(item.value instanceof TandemError ? item.value.message : item.value);
    end = item.end;
  }
  return { value: values, end };
}
