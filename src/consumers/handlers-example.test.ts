/** The example that users read first does what it says. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { keyed, openBench, until } from './consumers.fixture.ts';

test('examples/handlers.ts: default, async and batch handlers', async (t) => {
  const requests: { body: string; id: string | undefined }[] = [];
  const service = createServer(async (incoming, response) => {
    const parts: Buffer[] = [];
    for await (const part of incoming) parts.push(part as Buffer);
    requests.push({ body: Buffer.concat(parts).toString(), id: incoming.headers['idempotency-key'] as string });
    response.writeHead(201).end();
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    service.closeAllConnections();
    service.close();
  });
  process.env['ORDERS_URL'] = `http://127.0.0.1:${(service.address() as AddressInfo).port}/`;
  const printed = t.mock.method(console, 'log', () => {});
  const example = await import('../../examples/handlers.ts');
  const bench = await openBench(t);
  const names = ['print', 'orders', 'totals'];
  const { consumers } = bench.openWorker({
    consumers: names.map((name) => ({ name })),
    loadModule: async () => example,
  });
  await bench.append(keyed('ann', '{"id":"o1","cents":250}'), keyed('ann', '{"id":"o2","cents":50}'));
  await consumers.start();
  await until(() => requests.length === 2, 'the order service');
  await until(() => printed.mock.callCount() === 2, 'the lines');
  assert.equal(printed.mock.calls[0]?.arguments[0], 'orders 0:0 ann {"id":"o1","cents":250}');
  assert.deepEqual(JSON.parse(requests[0]?.body ?? ''), { id: 'o1', cents: 250, attempt: 1 });
  assert.match(requests[1]?.id ?? '', /^orders\/0\/.*\/1$/);
  await until(() => example.totals.centsByCustomer.get('ann') === 300, 'the sum');
});
