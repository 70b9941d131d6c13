/** For tests: writes PROXY protocol headers as a load balancer does, right or wrong. */
import { isIPv4 } from 'node:net';

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

export interface Ends {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export const ENDS: Ends = { source: '203.0.113.7', destination: '10.0.0.1', sourcePort: 56324, destinationPort: 9501 };

export function version1({ source, destination, sourcePort, destinationPort }: Ends = ENDS): Buffer {
  const family = isIPv4(source) ? 'TCP4' : 'TCP6';
  return Buffer.from(`PROXY ${family} ${source} ${destination} ${sourcePort} ${destinationPort}\r\n`);
}

export interface Version2Changes {
  readonly command?: number;
  /** The 14th byte. */
  readonly familyAndTransport?: number;
  readonly fields?: Buffer;
}

/** Addresses are written as their bytes, so any two of the same family are right. */
export function version2(ends: Ends = ENDS, changes: Version2Changes = {}): Buffer {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(ends.sourcePort);
  ports.writeUInt16BE(ends.destinationPort, 2);
  const rest = [addressBytes(ends.source), addressBytes(ends.destination), ports, changes.fields ?? Buffer.alloc(0)];
  const family = isIPv4(ends.source) ? 0x11 : 0x21;
  return framed(changes.command ?? 0x21, changes.familyAndTransport ?? family, Buffer.concat(rest));
}

/** Signature, 13th and 14th byte, length, and what follows. */
export function framed(command: number, familyAndTransport: number, rest: Buffer): Buffer {
  const fixed = Buffer.from([command, familyAndTransport, rest.length >> 8, rest.length & 255]);
  return Buffer.concat([SIGNATURE, fixed, rest]);
}

export function field(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value]);
}

/** IPv6: eight groups, none left out. */
function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const groups = address.split(':').map((group) => Number.parseInt(group, 16));
  return Buffer.from(groups.flatMap((group) => [group >> 8, group & 255]));
}
