/** The bad network does what it says, both ways, and nothing when it is healed. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { seededRandom } from '../src/core/ports/random.ts';
import { until } from '../src/core/testing/until.ts';
import type { FaultProxy } from './fault-proxy/link-faults.ts';
import { openFaultProxy } from './fault-proxy.ts';

interface TcpWorld {
  readonly proxy: FaultProxy;
  /** The server's side of each connection, and what it has heard. */
  readonly served: { readonly socket: Socket; heard: string; hasEnded: boolean }[];
  dial(): { readonly socket: Socket; heard: string; hasEnded: boolean; isReset: boolean };
}

/** A server that answers everything with itself. */
async function tcpWorld(t: TestContext): Promise<TcpWorld> {
  const served: TcpWorld['served'] = [];
  const server = createServer((socket) => {
    const side = { socket, heard: '', hasEnded: false };
    served.push(side);
    socket.on('data', (chunk) => {
      side.heard += chunk;
      socket.write(chunk);
    });
    socket.on('end', () => Object.assign(side, { hasEnded: true }));
    socket.on('error', () => {});
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port: upstreamPort } = server.address() as { port: number };
  const proxy = await openFaultProxy('tcp', { upstreamPort, random: seededRandom(1) });
  const dialled: Socket[] = [];
  t.after(async () => {
    for (const socket of [...dialled, ...served.map((side) => side.socket)]) socket.destroy();
    await proxy.close();
    server.close();
  });
  const dial = () => {
    const socket = connect(proxy.port, '127.0.0.1');
    dialled.push(socket);
    const side = { socket, heard: '', hasEnded: false, isReset: false };
    socket.on('data', (chunk) => {
      side.heard += chunk;
    });
    socket.on('end', () => Object.assign(side, { hasEnded: true }));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      side.isReset = error.code === 'ECONNRESET';
    });
    return side;
  };
  return { proxy, served, dial };
}

test('without faults bytes and ends pass both ways', async (t) => {
  const { proxy, served, dial } = await tcpWorld(t);
  const client = dial();
  const text = 'x'.repeat(3_000_000);
  client.socket.end(text);
  await until('all is back, and the end too', () => client.heard === text && client.hasEnded);
  assert.ok(served[0]?.hasEnded);
  await until('nothing is left', () => proxy.connections === 0);
});

test('delay with jitter and loss keep bytes in order', async (t) => {
  const { proxy, dial } = await tcpWorld(t);
  proxy.set({ delayMs: 20, jitterMs: 30, lossFraction: 0.2 });
  const client = dial();
  const startedMs = performance.now();
  const words = Array.from({ length: 30 }, (_, i) => `${i} `);
  for (const word of words) {
    client.socket.write(word);
    await new Promise(setImmediate);
  }
  await until('all is back', () => client.heard === words.join(''));
  assert.ok(performance.now() - startedMs >= 40, 'once each way');
});

test('bandwidth is shared', async (t) => {
  const { proxy, dial } = await tcpWorld(t);
  proxy.set({ bytesPerSecond: 100_000 });
  const startedMs = performance.now();
  const clients = [dial(), dial()];
  for (const { socket } of clients) socket.write('x'.repeat(10_000));
  await until('all is back', () => clients.every(({ heard }) => heard.length === 10_000));
  assert.ok(performance.now() - startedMs >= 200, '20 kB at 100 kB/s');
});

for (const outage of ['to-server', 'to-client'] as const)
  test(`outage ${outage}: the other way goes on, the connection stays open, and ends when healed`, async (t) => {
    const { proxy, served, dial } = await tcpWorld(t);
    const client = dial();
    client.socket.write('before ');
    await until('it works', () => client.heard === 'before ');
    proxy.set({ outage });
    client.socket.write('lost ');
    served[0]?.socket.write('said ');
    const [reached, missed] =
      outage === 'to-server'
        ? [() => client.heard, () => served[0]?.heard]
        : [() => served[0]?.heard, () => client.heard];
    await until('the other way works', () => /said|lost/.test(reached() ?? ''));
    assert.equal(missed(), 'before ');
    assert.deepEqual([client.hasEnded, client.isReset, served[0]?.hasEnded], [false, false, false]);
    proxy.heal();
    await until('it is reset', () => client.isReset);
    const again = dial();
    again.socket.write('after ');
    await until('a new one works', () => again.heard === 'after ');
  });

test('an outage hides that the other side has gone', async (t) => {
  const { proxy, served, dial } = await tcpWorld(t);
  const client = dial();
  client.socket.write('before ');
  await until('it works', () => client.heard === 'before ');
  proxy.set({ outage: 'both' });
  served[0]?.socket.resetAndDestroy();
  const other = dial();
  other.socket.write('unheard');
  await until('the other is open', () => !other.socket.connecting && proxy.connections === 2);
  assert.deepEqual([client.hasEnded, client.isReset], [false, false]);
  proxy.heal();
  await until('both are reset', () => client.isReset && other.isReset);
  assert.deepEqual(
    served.map(({ heard }) => heard),
    ['before ', ''],
  );
});

test('connections are cut, refused, or accepted and never served', async (t) => {
  const { proxy, served, dial } = await tcpWorld(t);
  const [reset, ended] = [dial(), dial()];
  await until('they are served', () => served.length === 2);
  assert.equal(proxy.cut('reset'), 2);
  await until('both are reset', () => reset.isReset && ended.isReset);
  const third = dial();
  await until('it is served', () => served.length === 3);
  proxy.cut('end');
  await until('it has ended', () => third.hasEnded);
  assert.equal(third.isReset, false);
  proxy.set({ accept: 'refuse' });
  const refused = dial();
  await until('it is reset', () => refused.isReset);
  proxy.set({ accept: 'silence' });
  const unserved = dial();
  unserved.socket.write('x');
  await until('it is open', () => proxy.connections === 1 && !unserved.socket.connecting);
  assert.deepEqual([served.length, unserved.hasEnded], [3, false]);
  proxy.heal();
  await until('it is reset', () => unserved.isReset);
});

test('a server that is away: the client is cut', async (t) => {
  const proxy = await openFaultProxy('tcp', { upstreamPort: 1, random: seededRandom(1) });
  t.after(() => proxy.close());
  const socket = connect(proxy.port, '127.0.0.1');
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('close', resolve));
});

/** Numbers sent by one client, in order of arrival at the server, and of its answers. */
async function udpWorld(t: TestContext) {
  const server = createSocket('udp4');
  const arrived: number[] = [];
  server.on('message', (datagram, { port }) => {
    arrived.push(Number(datagram));
    server.send(datagram, port, '127.0.0.1');
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await openFaultProxy('udp', { upstreamPort: server.address().port, random: seededRandom(2) });
  const client = createSocket('udp4');
  const answered: number[] = [];
  client.on('message', (datagram) => answered.push(Number(datagram)));
  t.after(async () => {
    client.close();
    await proxy.close();
    server.close();
  });
  const send = async (from: number, count: number): Promise<void> => {
    for (let i = from; i < from + count; i++)
      await new Promise((resolve) => client.send(String(i), proxy.port, '127.0.0.1', resolve));
  };
  return { proxy, arrived, answered, send };
}

test('datagrams pass, are dropped, doubled and overtaken', async (t) => {
  const { proxy, arrived, answered, send } = await udpWorld(t);
  await send(0, 50);
  await until('all are answered', () => answered.length === 50);
  assert.deepEqual(
    arrived,
    Array.from({ length: 50 }, (_, i) => i),
  );
  proxy.set({ duplicateFraction: 0.5, reorderFraction: 0.3 });
  await send(50, 50);
  const last = () => new Set(answered).size;
  await until('all are answered', () => last() === 100);
  assert.ok(arrived.length > 100, 'some came twice');
  assert.notDeepEqual(
    arrived,
    arrived.toSorted((a, b) => a - b),
    'some were overtaken',
  );
  proxy.heal();
  proxy.set({ lossFraction: 0.5 });
  await send(100, 100);
  const answeredOfThese = () => answered.filter((number) => number >= 100).length;
  await until('each is answered or lost', () => proxy.vanished + answeredOfThese() === 100);
  assert.ok(proxy.vanished > 20, `${proxy.vanished} of 100 and their answers were lost`);
});

test('an outage of one way: datagrams arrive and their answers do not', async (t) => {
  const { proxy, arrived, answered, send } = await udpWorld(t);
  proxy.set({ outage: 'to-client' });
  await send(0, 3);
  await until('they have arrived', () => arrived.length === 3);
  proxy.set({ outage: 'both' });
  await send(3, 3);
  await until('answers and datagrams are lost', () => proxy.vanished === 6);
  proxy.heal();
  await send(6, 1);
  await until('it is answered', () => answered.length === 1);
  assert.deepEqual([arrived, answered], [[0, 1, 2, 6], [6]]);
});
