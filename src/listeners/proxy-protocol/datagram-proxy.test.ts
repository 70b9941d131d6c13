import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import { serveListener } from '../http/served-listener.fixture.ts';
import { createUdpListener } from '../udp/udp-listener.ts';
import { createDatagramProxy } from './datagram-proxy.ts';
import { keptLog } from './proxied-listener.fixture.ts';
import { ENDS, framed, version1, version2 } from './proxy-header.fixture.ts';

const FROM: RemoteInfo = { address: '10.0.0.1', family: 'IPv4', port: 1, size: 0 };
const HEADERS = [
  version2(ENDS, { familyAndTransport: 0x12 }),
  version2({ ...ENDS, source: '1:2:3:4:5:6:7:8', destination: '1:0:0:0:0:0:0:1' }, { familyAndTransport: 0x22 }),
  framed(0x20, 0, Buffer.alloc(0)),
  version1(),
];

test('the header of each datagram is taken off; what has none, or half of one, is refused', async () => {
  const logger = keptLog();
  const clock = new ManualClock();
  const unwrap = createDatagramProxy({ trustedProxies: ['10.0.0.0/8'], clock, logger });
  const take = (datagram: Buffer, from = FROM): string | undefined => unwrap(datagram, from)?.toString();
  for (const header of HEADERS) {
    assert.equal(take(Buffer.concat([header, Buffer.from('data')])), 'data');
    assert.equal(take(header), '', 'an empty record');
  }
  assert.deepEqual(logger.lines, []);
  const whole = Buffer.concat([version2(), Buffer.from('data')]);
  const refused = [Buffer.from('data'), Buffer.alloc(0), whole.subarray(0, 20), version2(ENDS, { command: 0x25 })];
  for (const datagram of refused) assert.equal(take(datagram), undefined);
  assert.equal(take(whole, { ...FROM, address: '192.0.2.1' }), undefined);
  assert.equal(logger.lines.length, 1);
  await clock.advance(1000);
  take(refused[0] as Buffer);
  assert.deepEqual([logger.lines[1]?.['unsaid'], logger.lines[1]?.['code']], [4, 'TANDEM_PROXY_HEADER']);
});

async function serve(t: TestContext, trustedProxies: readonly string[]) {
  const { ingest, stored } = await serveListener(t);
  const logger = keptLog();
  const unwrap = createDatagramProxy({ trustedProxies, clock: new ManualClock(), logger });
  const listener = createUdpListener({ topic: 't', ack: 'offset', ingest, limits: DEFAULT_LIMITS, logger, unwrap });
  const server = createSocket('udp4');
  await once(server.bind(0, '127.0.0.1'), 'listening');
  listener.attach(server);
  t.after(() => listener.drain(1000));
  const balancer = createSocket('udp4');
  t.after(() => balancer.close());
  const send = (datagram: Buffer): void => balancer.send(datagram, server.address().port, '127.0.0.1');
  const turnedAway = (): number | undefined =>
    listener.metrics().find(({ name }) => name === 'tandem_listener_turned_away_total')?.value;
  return { balancer, send, stored: () => stored('t'), turnedAway, logger };
}

test('answers go back to the load balancer, whoever its client is', async (t) => {
  const { balancer, send, stored, turnedAway } = await serve(t, ['127.0.0.1']);
  send(Buffer.from('no header: not answered'));
  for (const [i, header] of HEADERS.entries()) {
    send(Buffer.concat([header, Buffer.from(`${i}`)]));
    assert.equal(String((await once(balancer, 'message'))[0]), `OK 0:${i}`);
  }
  assert.deepEqual(await stored(), ['0', '1', '2', '3']);
  assert.equal(turnedAway(), 1);
});
