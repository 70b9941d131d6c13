import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { Engine } from '../../core/contracts/engine.ts';
import type { TandemError } from '../../core/errors.ts';
import { until } from '../../core/testing/until.ts';
import { openRemoteEngine, type RemoteEngine } from '../conformance/remote-engine.ts';
import { prepareEmbeddedEngine } from './embedded-engine.ts';
import type { FrontEngine } from './front-engine.ts';
import { appendTexts, ensure, readTexts, testFolder } from './testing/embedded-fixture.ts';

const OWNER = new URL('./testing/owner-process.ts', import.meta.url);
const PARTITIONS = 4;
const placeOf = (partition: number) => ({ topic: 't', partition });

class Owners {
  readonly #t: TestContext;
  readonly #dataDir: string;
  #term = 0;
  #round = 0;
  live: RemoteEngine[] = [];

  constructor(t: TestContext, dataDir: string) {
    this.#t = t;
    this.#dataDir = dataDir;
  }

  async open(slots: number): Promise<void> {
    this.#round++;
    this.live = await Promise.all(Array.from({ length: slots }, (_, slot) => this.#start(slot, slots)));
  }

  async kill(): Promise<void> {
    await Promise.all(this.live.map((owner) => owner.kill()));
  }

  async #start(slot: number, slots: number): Promise<RemoteEngine> {
    const owner = await openRemoteEngine(OWNER, [this.#dataDir, slot, slots, ++this.#term, this.#round].map(String));
    this.#t.after(() => owner.kill());
    return owner;
  }
}

async function openFront(t: TestContext, dataDir: string, slots: number): Promise<FrontEngine> {
  const prepared = await prepareEmbeddedEngine({ dataDir, topicsIntervalMs: 20 });
  const front = await prepared.front({ slots });
  t.after(() => front.close());
  return front;
}

/** Sends again, under the same sequences, until it is acknowledged. */
async function appendSurely(engine: Engine, text: string, sequence: number, partition: number): Promise<void> {
  await until(`${text} is acknowledged`, async () => {
    try {
      await appendTexts(engine, [text], { id: 'p', sequence }, placeOf(partition));
      return true;
    } catch (error) {
      const { code, retryable } = error as TandemError;
      assert.ok(retryable, `${code} says: try again`);
      return false;
    }
  });
}

/** Appends to all partitions from now on; `stop` returns what was acknowledged of each. */
function keepAppending(engine: Engine): { acked: () => number; stop: () => Promise<string[][]> } {
  let isStopped = false;
  const texts = Array.from({ length: PARTITIONS }, (): string[] => []);
  const lanes = texts.map(async (acked, partition) => {
    while (!isStopped) {
      const text = `${partition}-${acked.length}`;
      await appendSurely(engine, text, acked.length + 1, partition);
      acked.push(text);
    }
  });
  return {
    acked: () => Math.min(...texts.map((acked) => acked.length)),
    async stop() {
      isStopped = true;
      await Promise.all(lanes);
      return texts;
    },
  };
}

/** How far each partition is known to go, as whoever watches it learns. */
function watchAll(t: TestContext, engine: Engine): number[] {
  const seen = new Array<number>(PARTITIONS).fill(0);
  seen.forEach((_, partition) => {
    const look = (): void => {
      engine.store.state(placeOf(partition)).then(
        ({ nextOffset }) => {
          seen[partition] = Math.max(seen[partition] ?? 0, nextOffset);
        },
        // The owner is away: the watch is armed again with the next one, and wakes.
        () => {},
      );
    };
    t.after(engine.store.watch(placeOf(partition), look));
  });
  return seen;
}

test('a front does everything through the owners and owns nothing', async (t) => {
  const dataDir = testFolder(t);
  const owners = new Owners(t, dataDir);
  await owners.open(2);
  const front = await openFront(t, dataDir, 2);
  await ensure(front, PARTITIONS);
  assert.deepEqual(front.store.localPartitions('t'), [0, 1, 2, 3]);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const place = placeOf(partition);
    await appendTexts(front, ['a', 'b'], { id: 'p', sequence: 1 }, place);
    await appendTexts(front, ['b', 'c'], { id: 'p', sequence: 2 }, place);
    assert.deepEqual(await readTexts(front, place), ['a', 'b', 'c']);
    assert.equal(await front.store.lastSequence(place, 'p'), 3);
    assert.equal(await front.store.trim(place, 1), 1);
    assert.deepEqual(await readTexts(owners.live[0] as RemoteEngine, place), ['b', 'c']);
  }
  const membership = await front.groups.join('g', 't', () => assert.fail('it is never given anything'));
  assert.deepEqual(membership.assignments, []);
  await membership.leave();
  const [owner] = owners.live as [RemoteEngine];
  await owner.groups.join('g', 't', () => {});
  await owner.groups.commit('g', 't', { partition: 0, offset: 2, epoch: 'e' }, 1_000_000);
  assert.deepEqual(await front.groups.committed('g', 't'), [{ partition: 0, offset: 2, epoch: 'e' }]);
  const lease = await front.leases.acquire('l', 'front/1', 1000);
  assert.equal((await owner.leases.holder('l'))?.term, lease?.term);
  await front.close();
  await assert.rejects(front.store.state(placeOf(0)), { code: 'TANDEM_DRAINING' });
});

test('owners are killed and replaced while a front appends with a producer and watches', async (t) => {
  const dataDir = testFolder(t);
  const owners = new Owners(t, dataDir);
  await owners.open(2);
  const front = await openFront(t, dataDir, 2);
  await ensure(front, PARTITIONS);
  const seen = watchAll(t, front);
  const appending = keepAppending(front);
  for (let round = 1; round <= 3; round++) {
    await until('records are acknowledged again', () => appending.acked() >= round * 30);
    await owners.kill();
    await owners.open(2);
  }
  await until('records are acknowledged at last', () => appending.acked() >= 120);
  const acked = await appending.stop();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    assert.deepEqual(await readTexts(front, placeOf(partition)), acked[partition], 'each once, in order');
    await until('the watch has seen the end', () => seen[partition] === acked[partition]?.length);
  }
});

test('the next owners have another number of slots: partitions change hands, watches go along', async (t) => {
  const dataDir = testFolder(t);
  const owners = new Owners(t, dataDir);
  await owners.open(1);
  const front = await openFront(t, dataDir, 3);
  await ensure(front, PARTITIONS);
  const seen = watchAll(t, front);
  const appending = keepAppending(front);
  let round = 0;
  for (const slots of [2, 3, 1]) {
    round++;
    await until('records are acknowledged', () => appending.acked() >= round * 10);
    await owners.kill();
    await owners.open(slots);
  }
  await until('records are acknowledged at last', () => appending.acked() >= 50);
  const acked = await appending.stop();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    assert.deepEqual(await readTexts(front, placeOf(partition)), acked[partition], 'each once, in order');
    await until('the watch has seen the end', () => seen[partition] === acked[partition]?.length);
  }
});

test('without an owner requests fail in bounded time and say that they may be tried again', async (t) => {
  const dataDir = testFolder(t);
  const owners = new Owners(t, dataDir);
  await owners.open(1);
  const front = await openFront(t, dataDir, 1);
  await ensure(front, 1);
  await appendTexts(front, ['a']);
  await owners.kill();
  await assert.rejects(appendTexts(front, ['b']), { code: 'TANDEM_OWNER_UNAVAILABLE', retryable: true });
});
