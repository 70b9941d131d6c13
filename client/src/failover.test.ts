/**
 * Clients before real nodes that are killed, hung and switched over under load: every acknowledged record is stored once, in order and where its
 * receipt says, and a subscriber sees the whole log, each record once and in order.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ClusterUnderTest } from '../../chaos/cluster-under-test.ts';
import { NodeUnderTest } from '../../chaos/node-under-test.ts';
import { until } from '../../src/core/testing/until.ts';
import { connect, type PublishReceipt, type ReceivedRecord, type TandemClient } from './index.ts';

const TOPIC = 'data_queue';
const TICK_MS = 10;
const RECORDS_PER_TICK = 4;
const WITHIN_MS = 40_000;

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-client-'));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 }));
  return folder;
}

/** Publishes at a rate, answered or not, until it is stopped. Values are `name:sequence`. */
class Load {
  readonly receipts: (PublishReceipt & { readonly value: string })[] = [];
  readonly failures: unknown[] = [];
  readonly #name: string;
  readonly #client: TandemClient;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #published: Promise<void>[] = [];

  constructor(name: string, addresses: string[], keys: number) {
    this.#name = name;
    this.#client = connect({ addresses, producer: name, timeoutMs: 1500, deadlineMs: WITHIN_MS });
    this.#timer = setInterval(() => {
      for (let i = 0; i < RECORDS_PER_TICK; i++) this.#published.push(this.#publish(this.#published.length, keys));
    }, TICK_MS);
  }

  /** Everything is acknowledged, and the client closed. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#published);
    await this.#client.close();
  }

  async #publish(sequence: number, keys: number): Promise<void> {
    const value = `${this.#name}:${sequence}`;
    const options = keys === 0 ? {} : { key: `${this.#name} ${sequence % keys}` };
    try {
      this.receipts.push({ ...(await this.#client.publish(TOPIC, value, options)), value });
    } catch (error) {
      this.failures.push(error);
    }
  }
}

/** Follows the topic from its start and writes down what it gets. */
class Watch {
  readonly seen = new Map<number, string[]>();
  readonly complaints: string[] = [];
  count = 0;
  readonly client: TandemClient;

  constructor(addresses: string[]) {
    this.client = connect({ addresses, timeoutMs: 1500 });
    const onRecord = ({ partition, offset, data }: ReceivedRecord): void => {
      const values = this.seen.get(partition) ?? [];
      this.seen.set(partition, values);
      if (offset !== values.length) this.complaints.push(`${partition}:${offset} where ${values.length} was due`);
      values.push(String(data));
      this.count++;
    };
    const onGap = (gap: object): void => void this.complaints.push(JSON.stringify(gap));
    this.client
      .subscribe(TOPIC, { from: 'start', onRecord, onGap })
      .closed.catch((error) => this.complaints.push(`${error}`));
  }
}

async function readLog(port: number): Promise<Map<number, string[]>> {
  const base = `http://127.0.0.1:${port}/topics/${TOPIC}`;
  const { partitions } = (await (await fetch(base)).json()) as { partitions: number };
  const log = new Map<number, string[]>();
  for (let partition = 0; partition < partitions; partition++) {
    const text = await (await fetch(`${base}/records?partition=${partition}&limit=1000000`)).text();
    const lines = text.split('\n').filter(Boolean);
    log.set(
      partition,
      lines.map((line) => (JSON.parse(line) as { data: string }).data),
    );
  }
  return log;
}

/** Stops the load, and holds what it was told against the log and what the subscriber saw. */
async function judge(port: number, loads: readonly Load[], watch: Watch, keys: readonly number[]): Promise<void> {
  await Promise.all(loads.map((load) => load.stop()));
  const log = await readLog(port);
  const stored = [...log.values()].flat();
  assert.equal(new Set(stored).size, stored.length, 'nothing is stored twice');
  for (const [i, load] of loads.entries()) {
    assert.deepEqual(load.failures, []);
    for (const { value, partition, offset } of load.receipts)
      if (offset === null) assert.ok(log.get(partition)?.includes(value), `${value} is stored`);
      else assert.equal(log.get(partition)?.[offset], value, 'it stands where its receipt says');
    assert.equal(
      stored.filter((value) => value.startsWith(`${load.receipts[0]?.value.split(':')[0]}:`)).length,
      load.receipts.length,
    );
    checkOrder(log, load, Math.max(1, keys[i] ?? 1));
  }
  await until('the subscriber has everything', () => watch.count >= stored.length, WITHIN_MS);
  assert.deepEqual(watch.complaints, []);
  for (const [partition, values] of log) assert.deepEqual(watch.seen.get(partition) ?? [], values);
  await watch.client.close();
}

function checkOrder(log: ReadonlyMap<number, readonly string[]>, { receipts }: Load, keys: number): void {
  const name = receipts[0]?.value.split(':')[0];
  for (const values of log.values()) {
    const last = new Map<number, number>();
    for (const value of values) {
      const [source, text] = value.split(':');
      if (source !== name) continue;
      const sequence = Number(text);
      assert.ok(sequence > (last.get(sequence % keys) ?? -1), `${value} stands in order`);
      last.set(sequence % keys, sequence);
    }
  }
}

test('a node that is killed and started again, three times', { timeout: 120_000 }, async (t) => {
  const node = await NodeUnderTest.create(folderOf(t), 2);
  t.after(() => node.killAll());
  await node.start();
  const addresses = ['ws://127.0.0.1:1', `ws://127.0.0.1:${node.ports.http}`];
  const keys = [0, 5, 0];
  const loads = keys.map((count, i) => new Load(`p${i}`, addresses, count));
  const watch = new Watch(addresses);
  for (let round = 0; round < 3; round++) {
    const { count } = watch;
    await until('the load runs', () => watch.count > count + 200, WITHIN_MS);
    if (round === 1) node.killWorker(0);
    else await node.killAll();
    await node.start();
  }
  await judge(node.ports.http, loads, watch, keys);
});

test('an active node that is killed, one that hangs, and a planned switchover', { timeout: 180_000 }, async (t) => {
  const folder = folderOf(t);
  const cluster = await ClusterUnderTest.create({
    ...{ folder, dataFolder: join(folder, 'data'), nodes: 3, workers: 1, extraConfig: '' },
    ...{ heartbeatTimeoutMs: 1000, workerHeartbeatTimeoutMs: 5000 },
  });
  t.after(() => cluster.killAll());
  await cluster.start();
  const addresses = [`ws://127.0.0.1:${cluster.ports.http}`];
  const keys = [0, 5];
  const loads = keys.map((count, i) => new Load(`p${i}`, addresses, count));
  const watch = new Watch(addresses);
  const active = async (): Promise<NodeUnderTest> => {
    let found: NodeUnderTest | undefined;
    await until(
      'one is active and the others are ready',
      async () => {
        for (const node of cluster.nodes) if (await node.isReady()) found = node;
        return found !== undefined && (await cluster.unready(found)).length === 0;
      },
      WITHIN_MS,
    );
    return found as NodeUnderTest;
  };
  const terms: number[] = [];
  for (const fault of ['kill', 'hang', 'switch'] as const) {
    const node = await active();
    const { count } = watch;
    await until('the load runs', () => watch.count > count + 200, WITHIN_MS);
    terms.push(watch.client.term);
    if (fault === 'kill') await node.killAll();
    else if (fault === 'hang') node.hang();
    else {
      const url = `http://127.0.0.1:${node.ports.admin}/admin/v1/switchover`;
      assert.equal((await fetch(url, { method: 'POST' })).status, 200);
    }
    await until('another one answers', () => watch.client.term > (terms.at(-1) ?? 0), WITHIN_MS);
    if (fault !== 'switch') {
      await until('it is gone', () => !node.isRunning, WITHIN_MS);
      node.spawn();
    }
  }
  await judge(cluster.ports.http, loads, watch, keys);
  assert.deepEqual(
    [...terms].sort((a, b) => a - b),
    terms,
    'terms rise',
  );
  for (const { receipts } of loads)
    assert.ok(
      receipts.every(({ term }, i) => term >= (receipts[i - 1]?.term ?? 0)),
      'no answer under an older term',
    );
});
