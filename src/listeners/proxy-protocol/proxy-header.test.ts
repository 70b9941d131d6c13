import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TandemError } from '../../core/errors.ts';
import { crc32c } from './crc32c.ts';
import { ENDS, type Ends, field, framed, version1, version2 } from './proxy-header.fixture.ts';
import { PROXY_HEADER_BYTES_MAX, readProxyHeader } from './proxy-header.ts';

const port = fc.integer({ min: 0, max: 65_535 });
const address4 = fc.ipV4();
const groups = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 65_535 })), { minLength: 8, maxLength: 8 });
const address6 = groups.map((each) => each.map((group) => group.toString(16)).join(':'));
const endsOf = (address: fc.Arbitrary<string>): fc.Arbitrary<Ends> =>
  fc.record({ source: address, destination: address, sourcePort: port, destinationPort: port });
const anyEnds = fc.oneof(endsOf(address4), endsOf(address6));
const header = fc.tuple(anyEnds, fc.boolean()).map(([ends, isFirst]) => ({
  ends,
  bytes: isFirst ? version1(ends) : version2(ends, { fields: field(0x04, Buffer.alloc(5)) }),
}));

/** IPv6 addresses have many texts. */
const same = (a: string, b: string): boolean => new URL(`http://${wrap(a)}`).host === new URL(`http://${wrap(b)}`).host;
const wrap = (address: string): string => (address.includes(':') ? `[${address}]` : address);

function refused(bytes: Buffer, detail: RegExp): void {
  assert.throws(
    () => readProxyHeader(bytes),
    (error: unknown) => {
      assert.ok(error instanceof TandemError && error.code === 'TANDEM_PROXY_HEADER', String(error));
      assert.match(error.message, detail);
      return true;
    },
    JSON.stringify(bytes.toString('latin1')),
  );
}

test('what was written is read, whatever follows it', () => {
  fc.assert(
    fc.property(header, fc.uint8Array({ maxLength: 50 }), ({ ends, bytes }, rest) => {
      const read = readProxyHeader(Buffer.concat([bytes, rest]));
      assert.equal(read?.length, bytes.length);
      const { source, destination } = read?.client ?? assert.fail('no client');
      assert.ok(same(source.address, ends.source) && same(destination.address, ends.destination));
      assert.deepEqual([source.port, destination.port], [ends.sourcePort, ends.destinationPort]);
      assert.equal(source.family, ends.source.includes(':') ? 'IPv6' : 'IPv4');
    }),
  );
});

test('every beginning of a header asks for more, and nothing else', () => {
  fc.assert(
    fc.property(header, ({ bytes }) => {
      for (let length = 0; length < bytes.length; length++)
        assert.equal(readProxyHeader(bytes.subarray(0, length)), undefined, `${length} bytes`);
    }),
  );
});

test('whatever comes, only TANDEM_PROXY_HEADER is thrown, and never is more asked for without end', () => {
  const start = fc.constantFrom('', 'PROXY ', 'PROXY TCP4 ', 'PROXY UNKNOWN', '\r\n\r\n\0\r\nQUIT\n');
  const tail = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.string({ unit: 'binary', maxLength: 300 }));
  fc.assert(
    fc.property(start, tail, (head, rest) => {
      const bytes = Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(rest as Uint8Array)]);
      try {
        const read = readProxyHeader(bytes);
        if (read !== undefined) assert.ok(read.length <= bytes.length);
        else assert.ok(bytes.length < 107 || bytes[0] === 0x0d);
      } catch (error) {
        assert.ok(error instanceof TandemError && error.code === 'TANDEM_PROXY_HEADER', String(error));
      }
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(header, fc.nat(), fc.integer({ min: 0, max: 255 }), ({ bytes }, at, value) => {
      const spoilt = Buffer.from(bytes);
      spoilt[at % bytes.length] = value;
      try {
        readProxyHeader(spoilt);
      } catch (error) {
        assert.ok(error instanceof TandemError && error.code === 'TANDEM_PROXY_HEADER', String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('version 1, word by word', () => {
  const line = (text: string): Buffer => Buffer.from(`${text}\r\n`, 'latin1');
  const wrong = [
    'PROXY TCP4 203.0.113.7 10.0.0.1 56324',
    'PROXY TCP4 203.0.113.7 10.0.0.1 56324 9501 ',
    'PROXY TCP4  203.0.113.7 10.0.0.1 56324 9501',
    'PROXY  TCP4 203.0.113.7 10.0.0.1 56324 9501',
    'PROXY TCP5 203.0.113.7 10.0.0.1 56324 9501',
    'PROXY tcp4 203.0.113.7 10.0.0.1 56324 9501',
    'PROXY UDP4 203.0.113.7 10.0.0.1 56324 9501',
    'PROXY TCP4 203.0.113.07 10.0.0.1 56324 9501',
    'PROXY TCP4 203.0.113.256 10.0.0.1 56324 9501',
    'PROXY TCP4 203.0.113 10.0.0.1 56324 9501',
    'PROXY TCP4 203.0.113.7 10.0.0.1 05632 9501',
    'PROXY TCP4 203.0.113.7 10.0.0.1 5632 00',
    'PROXY TCP4 203.0.113.7 10.0.0.1 65536 9501',
    'PROXY TCP4 203.0.113.7 10.0.0.1 -1 9501',
    'PROXY TCP4 ::1 ::1 1 2',
    'PROXY TCP6 203.0.113.7 10.0.0.1 1 2',
    'PROXY TCP6 1::2::3 ::1 1 2',
    'PROXY TCP6 fe80::1%eth0 ::1 1 2',
    'PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2',
    'PROXY UNKNOWNS',
    'PROXY ',
  ];
  for (const text of wrong) refused(line(text), /not valid|not an IPv|not a port/);
  for (const text of ['PROXY UNKNOWN', 'PROXY UNKNOWN ', 'PROXY UNKNOWN what\never\r it \xff'])
    assert.deepEqual(readProxyHeader(line(text)), { length: text.length + 2, client: undefined });
  const longest = `PROXY UNKNOWN ${'x'.repeat(107 - 16)}`;
  assert.equal(readProxyHeader(line(longest))?.length, 107);
  refused(line(`${longest}x`), /within 107 bytes/);
  const mapped = readProxyHeader(line('PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2'));
  assert.equal(mapped?.client?.source.address, '::ffff:1.2.3.4');
});

test('version 1: a lone CR or LF does not end the line, and is refused at once', () => {
  for (const end of ['\n', '\r', '\rx', '\n\r']) {
    const bytes = Buffer.from(`PROXY TCP4 203.0.113.7 10.0.0.1 56324 9501${end}`);
    if (end === '\r') assert.equal(readProxyHeader(bytes), undefined);
    else refused(bytes, /not valid/);
  }
  refused(Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 56324 9501\nGET / HTTP/1.1\r\n'), /not valid/);
});

test('what is no header is refused at its first wrong byte', () => {
  refused(Buffer.from('G'), /begins with neither/);
  refused(Buffer.from('PROXX'), /begins with neither/);
  refused(Buffer.from([0x16, 0x03, 0x01]), /begins with neither/);
  refused(Buffer.from('\r\n\r\nG'), /signature/);
  refused(Buffer.from('PROXY TCP4 what'), /not valid/);
  refused(version2().fill(0x31, 12, 13).subarray(0, 13), /version 3/);
  refused(version2(ENDS, { command: 0x22 }).subarray(0, 13), /command 2/);
  refused(version2(ENDS, { familyAndTransport: 0x41 }).subarray(0, 14), /family 4/);
  refused(version2(ENDS, { familyAndTransport: 0x13 }).subarray(0, 14), /transport 3/);
});

test('version 2: LOCAL and what has no address keep the addresses of the socket, and are skipped by their length', () => {
  const rest = Buffer.alloc(20, 0xff);
  // Of LOCAL even the family is ignored.
  for (const [command, family] of [
    [0x20, 0x00],
    [0x20, 0x11],
    [0x20, 0xff],
    [0x21, 0x00],
    [0x21, 0x10],
    [0x21, 0x01],
  ] as const)
    for (const bytes of [framed(command, family, Buffer.alloc(0)), framed(command, family, rest)])
      assert.deepEqual(readProxyHeader(bytes), { length: bytes.length, client: undefined });
  const unix = framed(0x21, 0x31, Buffer.alloc(216));
  assert.deepEqual(readProxyHeader(unix), { length: 232, client: undefined });
  refused(framed(0x21, 0x32, Buffer.alloc(215)), /inside the addresses/);
});

test('version 2: datagram families have addresses too', () => {
  const bytes = version2(ENDS, { familyAndTransport: 0x12 });
  assert.deepEqual(readProxyHeader(bytes)?.client?.source, {
    address: ENDS.source,
    family: 'IPv4',
    port: ENDS.sourcePort,
  });
});

test('version 2: addresses, fields and length must agree', () => {
  refused(framed(0x21, 0x11, Buffer.alloc(11)), /inside the addresses/);
  refused(framed(0x21, 0x21, Buffer.alloc(35)), /inside the addresses/);
  refused(version2(ENDS, { fields: Buffer.from([4, 0]) }), /inside a field/);
  refused(version2(ENDS, { fields: Buffer.from([4, 0, 2, 9]) }), /inside a field/);
  const largest = field(0xea, Buffer.alloc(PROXY_HEADER_BYTES_MAX - version2().length - 3));
  assert.equal(readProxyHeader(version2(ENDS, { fields: largest }))?.length, PROXY_HEADER_BYTES_MAX);
  const larger = field(0xea, Buffer.alloc(PROXY_HEADER_BYTES_MAX - version2().length - 2));
  // Before it is received.
  refused(version2(ENDS, { fields: larger }).subarray(0, 16), /more than 8192/);
});

test('version 2: the checksum is checked', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  const bytes = version2(ENDS, { fields: Buffer.concat([field(3, Buffer.alloc(4)), field(5, Buffer.from('id'))]) });
  bytes.writeUInt32BE(crc32c(bytes), 16 + 12 + 3);
  assert.equal(readProxyHeader(bytes)?.length, bytes.length);
  for (const at of [16, 20, 31, bytes.length - 1]) {
    const spoilt = Buffer.from(bytes);
    spoilt[at] = (spoilt[at] as number) ^ 1;
    refused(spoilt, /checksum is wrong/);
  }
  refused(version2(ENDS, { fields: field(3, Buffer.alloc(3)) }), /4 bytes/);
});
