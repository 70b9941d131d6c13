/**
 * The PROXY protocol, versions 1 and 2: what a load balancer puts before the bytes of a client, to say who the client is.
 * After https://github.com/haproxy/haproxy/blob/master/doc/proxy-protocol.txt (2026-04-27); section numbers below are of that text.
 *
 *   version 1 (2.1)   PROXY TCP4|TCP6 <source> <destination> <source port> <destination port> CR LF
 *                     PROXY UNKNOWN … CR LF                                                       at most 107 bytes
 *   version 2 (2.2)   12 bytes signature; version and command; family and transport; length (16 bits, big-endian);
 *                     addresses, ports; type-length-value fields
 *
 * Pure: bytes in, decision out, however they are split. What cannot become a header is refused at the first byte that says so.
 * Of the fields only the checksum is looked at (2.2.3: who can must). Non-goals: writing headers, TLS facts, unique ids.
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { TandemError } from '../../core/errors.ts';
import { crc32c } from './crc32c.ts';

export interface Endpoint {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly port: number;
}

export interface ProxyHeader {
  /** Bytes of the header; the client's begin after it. */
  readonly length: number;
  /** Who connected to whom, as the proxy says; undefined (UNKNOWN, LOCAL, Unix sockets): the socket's own addresses stand. */
  readonly client: { readonly source: Endpoint; readonly destination: Endpoint } | undefined;
}

/** Headers with fields (a client's certificate, say) can be larger than the addresses need. Above: refused. */
export const PROXY_HEADER_BYTES_MAX = 8 * 1024;

/** The header at the beginning of `bytes`, or undefined while more bytes are needed. Errors: TANDEM_PROXY_HEADER, nothing else. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length === 0) return undefined;
  return bytes[0] === SIGNATURE[0] ? readVersion2(bytes) : readVersion1(bytes);
}

export const malformed = (detail: string): TandemError => new TandemError('TANDEM_PROXY_HEADER', { detail });

// ---------------------------------------------------------------- version 1

const PREFIX = Buffer.from('PROXY ');
const LINE_BYTES_MAX = 107;
/** What the line of TCP4 or TCP6 may consist of before its end is there. Of UNKNOWN anything may follow. */
const PARTIAL_LINE = /^PROXY (?:U|[TCP0-9A-Fa-f:. ]*\r?$)/;
const PORT = '(0|[1-9][0-9]{0,4})';
const FULL_LINE = new RegExp(`^PROXY TCP([46]) ([^ ]+) ([^ ]+) ${PORT} ${PORT}$`);
const UNKNOWN_LINE = /^PROXY UNKNOWN(?: |$)/;

function readVersion1(bytes: Buffer): ProxyHeader | undefined {
  if (!beginsWith(bytes, PREFIX)) throw malformed('it begins with neither "PROXY " nor the signature of version 2');
  const head = bytes.toString('latin1', 0, LINE_BYTES_MAX);
  const end = head.indexOf('\r\n');
  if (end === -1) {
    if (bytes.length >= LINE_BYTES_MAX) throw malformed(`no CR LF within ${LINE_BYTES_MAX} bytes`);
    if (bytes.length >= PREFIX.length && !PARTIAL_LINE.test(head))
      throw malformed('the line of version 1 is not valid');
    return undefined;
  }
  const line = head.slice(0, end);
  const length = end + 2;
  if (UNKNOWN_LINE.test(line)) return { length, client: undefined };
  const [, digit, source = '', destination = '', sourcePort = '', destinationPort = ''] = FULL_LINE.exec(line) ?? [];
  if (digit === undefined) throw malformed('the line of version 1 is not valid');
  const family = digit === '4' ? 'IPv4' : 'IPv6';
  const endpoint = (address: string, port: string): Endpoint => textEndpoint(family, address, Number(port));
  return {
    length,
    client: { source: endpoint(source, sourcePort), destination: endpoint(destination, destinationPort) },
  };
}

function textEndpoint(family: Endpoint['family'], address: string, port: number): Endpoint {
  // A zone (fe80::1%eth0) is no part of an address.
  const isValid = family === 'IPv4' ? isIPv4(address) : isIPv6(address) && !address.includes('%');
  if (!isValid) throw malformed(`"${address.slice(0, 45)}" is not an ${family} address`);
  if (port > 65_535) throw malformed(`${port} is not a port`);
  return { address, family, port };
}

// ---------------------------------------------------------------- version 2

const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const FIXED_BYTES = 16;
const VERSION = 2;
const LOCAL = 0;
const PROXY = 1;
const FAMILY_MAX = 3;
const TRANSPORT_MAX = 2;
/** Bytes of one address, by family: unspecified, inet, inet6, unix. */
const ADDRESS_BYTES = [0, 4, 16, 108] as const;
const PORT_BYTES = 2;
const FIELD_CRC32C = 0x03;

function readVersion2(bytes: Buffer): ProxyHeader | undefined {
  if (!beginsWith(bytes, SIGNATURE)) throw malformed('the signature of version 2 is not complete');
  const { isLocal, family, transport } = readCommand(bytes);
  if (bytes.length < FIXED_BYTES) return undefined;
  const length = FIXED_BYTES + bytes.readUInt16BE(14);
  if (length > PROXY_HEADER_BYTES_MAX) throw malformed(`it has ${length} bytes, more than ${PROXY_HEADER_BYTES_MAX}`);
  if (bytes.length < length) return undefined;
  // Of a LOCAL connection (the proxy's own, for checks) and of what the proxy cannot name all that follows is ignored.
  if (isLocal || family === 0 || transport === 0) return { length, client: undefined };
  const addressBytes = ADDRESS_BYTES[family] as number;
  const isUnix = family === FAMILY_MAX;
  const fieldsAt = FIXED_BYTES + 2 * addressBytes + (isUnix ? 0 : 2 * PORT_BYTES);
  if (fieldsAt > length) throw malformed('it ends inside the addresses');
  checkFields(bytes.subarray(0, length), fieldsAt);
  if (isUnix) return { length, client: undefined };
  const portsAt = FIXED_BYTES + 2 * addressBytes;
  const endpoint = (at: number, portAt: number): Endpoint => {
    const port = bytes.readUInt16BE(portAt);
    return family === 1
      ? { address: addressText4(bytes, at), family: 'IPv4', port }
      : { address: addressText6(bytes, at), family: 'IPv6', port };
  };
  const source = endpoint(FIXED_BYTES, portsAt);
  return { length, client: { source, destination: endpoint(FIXED_BYTES + addressBytes, portsAt + PORT_BYTES) } };
}

/** Bytes 13 and 14, as far as they are there; what is not is taken for valid. */
function readCommand(bytes: Buffer): {
  readonly isLocal: boolean;
  readonly family: number;
  readonly transport: number;
} {
  const versionAndCommand = bytes[12] ?? (VERSION << 4) | LOCAL;
  const command = versionAndCommand & 15;
  if (versionAndCommand >> 4 !== VERSION) throw malformed(`it has version ${versionAndCommand >> 4}`);
  if (command !== LOCAL && command !== PROXY) throw malformed(`it has command ${command}`);
  const familyAndTransport = bytes[13] ?? 0;
  const [family, transport] = [familyAndTransport >> 4, familyAndTransport & 15];
  const isLocal = command === LOCAL;
  if (!isLocal && (family > FAMILY_MAX || transport > TRANSPORT_MAX))
    throw malformed(`it has address family ${family}, transport ${transport}`);
  return { isLocal, family, transport };
}

/** Each field lies within the header, and the checksum, if there is one, is right. */
function checkFields(header: Buffer, from: number): void {
  let at = from;
  while (at < header.length) {
    if (at + 3 > header.length) throw malformed('it ends inside a field');
    const type = header[at];
    const valueAt = at + 3;
    const end = valueAt + header.readUInt16BE(at + 1);
    if (end > header.length) throw malformed('it ends inside a field');
    if (type === FIELD_CRC32C) checkSum(header, valueAt, end);
    at = end;
  }
}

/** Over the whole header, with the checksum's own bytes zero. */
function checkSum(header: Buffer, from: number, end: number): void {
  if (end - from !== 4) throw malformed('its checksum has not 4 bytes');
  const zeroed = Buffer.from(header).fill(0, from, end);
  if (crc32c(zeroed) !== header.readUInt32BE(from)) throw malformed('its checksum is wrong');
}

const addressText4 = (bytes: Buffer, at: number): string =>
  `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;

function addressText6(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + 2 * i).toString(16));
  // It writes addresses in their usual, short form.
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}

/** True as long as the bytes could become it. */
function beginsWith(bytes: Buffer, wanted: Buffer): boolean {
  const length = Math.min(bytes.length, wanted.length);
  return bytes.compare(wanted, 0, length, 0, length) === 0;
}
