import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Authenticator } from '../../core/contracts/auth.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import { DEFAULT_LIMITS, type Limits } from '../../core/limits.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { systemRandom } from '../../core/ports/random.ts';
import { recordsOf } from '../../core/record-set.ts';
import { untilStill } from '../../core/testing/until.ts';
import { openMemoryEngine } from '../../engines/memory/memory-engine.ts';
import { createIngest } from '../../ingest/ingest.ts';
import { createTcpListener } from './tcp-listener.ts';
import type { TcpListenerOptions } from './tcp-options.ts';

const everybody: Authenticator = { isRequired: false, authenticate: () => ({ name: 'anonymous', may: () => true }) };
const onlyTokenT: Authenticator = {
  isRequired: true,
  authenticate(token) {
    if (token === undefined) throw new TandemError('TANDEM_AUTH_REQUIRED');
    if (token !== 't' && token !== 'reader') throw new TandemError('TANDEM_AUTH_INVALID');
    return { name: token, may: (right) => token === 't' || right === 'subscribe' };
  },
};

async function serve(t: TestContext, options: Partial<TcpListenerOptions> = {}, limitChanges: Partial<Limits> = {}) {
  const limits: Limits = { ...DEFAULT_LIMITS, ...limitChanges };
  const engine = openMemoryEngine({ clock: systemClock, random: systemRandom, limits: DEFAULT_LIMITS });
  const newTopic = (name: string) => ({ name, partitions: 1, retentionMs: null, retentionBytes: null });
  const ingest = createIngest({ topics: engine.topics, store: engine.store, clock: systemClock, limits, newTopic });
  const listener = createTcpListener({
    topic: 't',
    framing: 'line',
    ack: 'offset',
    ingest,
    authenticator: everybody,
    limits,
    logger: silentLogger,
    nodeTerm: 5,
    ackLevel: 'memory',
    ...options,
  });
  const server = createServer({ pauseOnConnect: true }, (socket) => listener.accept(socket));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const clients: Socket[] = [];
  t.after(() => {
    for (const client of clients) client.destroy();
    server.close();
  });
  const dial = (): Client => {
    const client = new Client(connect((server.address() as AddressInfo).port, '127.0.0.1'));
    clients.push(client.socket);
    return client;
  };
  const stored = async (): Promise<Buffer[]> => {
    const { batches } = await engine.store.read({ topic: 't', partition: 0 }, { epoch: '', offset: 0 }, 1 << 26);
    return batches.flatMap((batch) => recordsOf(batch).map((record) => record.data));
  };
  return { engine, ingest, listener, dial, stored };
}

class Client {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  isEnded = false;
  #changed: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#changed();
    });
    socket.on('end', () => {
      this.isEnded = true;
      this.#changed();
    });
    socket.on('error', () => {});
  }

  get received(): Buffer {
    const all = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }

  /** Lines received so far, once there are `count` or the server has ended. */
  async lines(count: number): Promise<string[]> {
    const split = (): string[] => this.received.toString().split('\n').slice(0, -1);
    await this.until(() => split().length >= count || this.isEnded);
    return split();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

test('answers lines with their places, in order', async (t) => {
  const { dial, stored } = await serve(t);
  const client = dial();
  client.socket.write('one\n\nthr');
  client.socket.write('ee\nüñí\n');
  assert.deepEqual(await client.lines(4), ['OK 0:0', 'OK 0:1', 'OK 0:2', 'OK 0:3']);
  assert.deepEqual((await stored()).map(String), ['one', '', 'three', 'üñí']);
});

test('a client that ends its side still gets its answers, and a half line is not stored', async (t) => {
  const { dial, stored } = await serve(t);
  const client = dial();
  client.socket.end('one\nhalf');
  const lines = await client.lines(3);
  assert.equal(lines[0], 'OK 0:0');
  assert.match(lines[1] ?? '', /^ERR TANDEM_INPUT_MALFORMED .*inside a record/);
  assert.equal(client.isEnded, true);
  assert.deepEqual((await stored()).map(String), ['one']);
});

test('an oversize line is refused in its place and the connection goes on; a 1 MiB one is stored', async (t) => {
  const { dial, stored } = await serve(t);
  const client = dial();
  const mebibyte = Buffer.alloc(1 << 20, 'm');
  client.socket.write('a\n');
  client.socket.write(Buffer.concat([Buffer.alloc(3 << 20, 'x'), Buffer.from('\n'), mebibyte, Buffer.from('\nb\n')]));
  const lines = await client.lines(4);
  assert.equal(lines[0], 'OK 0:0');
  assert.match(lines[1] ?? '', /^ERR TANDEM_RECORD_TOO_LARGE /);
  assert.deepEqual(lines.slice(2), ['OK 0:1', 'OK 0:2']);
  assert.ok((await stored())[1]?.equals(mebibyte));
});

test('length framing as Swoole speaks it: binary records and framed answers', async (t) => {
  const { dial, stored } = await serve(t, { framing: 'length' });
  const client = dial();
  const record = Buffer.from([0, 10, 255, 13, 10]);
  const frame = Buffer.concat([Buffer.from([0, 0, 0, record.length]), record]);
  client.socket.write(Buffer.concat([frame, Buffer.from([0, 0, 0, 0])]));
  await client.until(() => client.received.length >= 20);
  assert.deepEqual(client.received, Buffer.from('\0\0\0\x06OK 0:0\0\0\0\x06OK 0:1', 'latin1'));
  assert.deepEqual(await stored(), [record, Buffer.alloc(0)]);
});

test('HELLO with a producer: tells the last sequence, stores repeats once and answers their first places', async (t) => {
  const { dial, stored } = await serve(t);
  const first = dial();
  first.socket.write('HELLO {"producer":"p","seq":1}\na\nb\n');
  assert.deepEqual(await first.lines(3), ['OK {"term":5,"seq":0,"ack":"memory"}', 'OK 0:0', 'OK 0:1']);
  const again = dial();
  again.socket.write('HELLO {"producer":"p","seq":2}\nb\nc\n');
  assert.deepEqual(await again.lines(3), ['OK {"term":5,"seq":2,"ack":"memory"}', 'OK 0:1', 'OK 0:2']);
  const onward = dial();
  onward.socket.write('HELLO {"producer":"p"}\nd\n');
  assert.deepEqual(await onward.lines(2), ['OK {"term":5,"seq":3,"ack":"memory"}', 'OK 0:3']);
  assert.deepEqual((await stored()).map(String), ['a', 'b', 'c', 'd']);
});

test('a producer whose record is refused by the store is told and disconnected; nothing overtakes', async (t) => {
  const { dial, engine, stored } = await serve(t);
  const append = engine.store.append.bind(engine.store);
  engine.store.append = async () => {
    engine.store.append = append;
    throw new TandemError('TANDEM_DISK_FULL');
  };
  const client = dial();
  client.socket.write('HELLO {"producer":"p","seq":1}\na\n');
  const lines = await client.lines(100);
  assert.match(lines[1] ?? '', /^ERR TANDEM_DISK_FULL/);
  assert.equal(client.isEnded, true);
  assert.deepEqual(await stored(), []);
});

test('tokens: needed, checked, with rights; data before HELLO is refused', async (t) => {
  const { dial, stored } = await serve(t, { authenticator: onlyTokenT });
  const answerTo = async (text: string): Promise<string> => {
    const client = dial();
    client.socket.write(text);
    return (await client.lines(1))[0] ?? '';
  };
  assert.match(await answerTo('data\n'), /^ERR TANDEM_AUTH_REQUIRED/);
  assert.match(await answerTo('HELLO {"token":"wrong"}\n'), /^ERR TANDEM_AUTH_INVALID/);
  assert.match(await answerTo('HELLO {"token":"reader"}\n'), /^ERR TANDEM_AUTH_FORBIDDEN/);
  assert.equal(await answerTo('HELLO {"token":"t"}\n'), 'OK {"term":5,"seq":0,"ack":"memory"}');
  assert.deepEqual(await stored(), []);
});

test('a connection that says nothing is ended with a reason', async (t) => {
  const { dial } = await serve(t, {}, { idleTimeoutMs: 50, headerTimeoutMs: 50 });
  const [line] = await dial().lines(1);
  assert.match(line ?? '', /^ERR TANDEM_SESSION_IDLE/);
});

test('connections over the limit are told so', async (t) => {
  const { dial, listener } = await serve(t, {}, { connectionsMax: 1 });
  const first = dial();
  first.socket.write('a\n');
  await first.lines(1);
  assert.match((await dial().lines(1))[0] ?? '', /^ERR TANDEM_CONNECTIONS_LIMIT/);
  assert.equal(listener.connections, 1);
});

test('drain: what was read is answered, then connections end', async (t) => {
  const { dial, listener, ingest } = await serve(t);
  const client = dial();
  client.socket.write('a\nb\n');
  await client.lines(2);
  const drained = listener.drain(5000);
  await ingest.drain();
  await client.until(() => client.isEnded);
  client.socket.end();
  await drained;
  assert.equal(listener.connections, 0);
});

test('a client that does not read its answers is not read either, and loses nothing', async (t) => {
  const { dial, engine } = await serve(t);
  const client = dial();
  client.socket.pause();
  // Its answers are more than the kernel buffers of both ends hold.
  const total = 1_500_000;
  client.socket.write(Buffer.alloc(total * 2, 'x\n'));
  const nextOffset = async (): Promise<number> =>
    engine.topics.peek('t') === undefined ? 0 : (await engine.store.state({ topic: 't', partition: 0 })).nextOffset;
  const stored = await untilStill('the server has stopped reading', nextOffset);
  assert.ok(stored < total, `the server went on reading: ${stored} stored`);
  client.socket.resume();
  const last = `OK 0:${total - 1}\n`;
  await client.until(() => client.received.subarray(-last.length).toString() === last);
});

test('ack=none stores and answers nothing', async (t) => {
  const { dial, stored } = await serve(t, { ack: 'none' });
  const client = dial();
  client.socket.end('a\nb\n');
  await client.until(() => client.isEnded);
  assert.equal(client.received.length, 0);
  assert.deepEqual((await stored()).map(String), ['a', 'b']);
});
