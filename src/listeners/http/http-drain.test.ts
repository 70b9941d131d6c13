import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, serveListener } from './served-listener.fixture.ts';

const post = (body: string): string =>
  `POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

test('drain: requests in hand are answered and their connections closed; idle ones end at once', async (t) => {
  const { dial, listener, engine } = await serveListener(t);
  const append = engine.store.append.bind(engine.store);
  let letGo: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const idle = dial();
  idle.socket.write(post('a'));
  await idle.until(() => idle.text.includes('"offset":0}'));
  engine.store.append = async (batch) => {
    await gate;
    return append(batch);
  };
  const [busy, silent] = [dial(), dial()];
  busy.socket.write(post('b'));
  await eventually(() => listener.connections === 3);
  await eventually(() =>
    listener.metrics().some(({ name, value }) => name === 'tandem_listener_requests_total' && value === 2),
  );
  const drained = listener.drain(10_000);
  await Promise.all([idle.untilEnd(), silent.untilEnd()]);
  assert.equal(busy.text, '');
  letGo();
  assert.match(await busy.untilEnd(), /^HTTP\/1.1 201 [\s\S]*Connection: close[\s\S]*"offset":1\}$/);
  await drained;
  assert.equal(listener.connections, 0);
});

test('drain: connections that come meanwhile get 503, and the deadline ends what hangs', async (t) => {
  const { dial, listener } = await serveListener(t);
  const hanging = dial();
  hanging.socket.write('POST /topics/t HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc');
  await eventually(() =>
    listener.metrics().some(({ name, value }) => name === 'tandem_listener_requests_total' && value === 1),
  );
  const drained = listener.drain(300);
  assert.match(await dial().untilEnd(), /^HTTP\/1.1 503 [\s\S]*TANDEM_DRAINING/);
  await drained;
  await hanging.untilEnd();
});
