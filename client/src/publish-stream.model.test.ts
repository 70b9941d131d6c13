/**
 * Random histories of a stream against the rules by which the server stores a producer's records (its own code for them): whatever is answered,
 * refused or lost, every good record is stored once, in order per partition, at the place that its receipt names, and only bad ones are rejected.
 */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import {
  advanceWindow,
  EMPTY_WINDOW,
  type ProducerWindow,
  placesOf,
  repeatedCount,
} from '../../src/engines/embedded/log/producer-window.ts';
import type { PublishReceipt } from './api.ts';
import { TandemClientError } from './errors.ts';
import { type PublishResult, PublishStream } from './publish-stream.ts';

const PARTITIONS = 3;

interface Sent {
  readonly sequence: number;
  readonly records: readonly { readonly value: number; readonly partition: number; readonly isBad: boolean }[];
}

class ModelServer {
  readonly logs: number[][] = Array.from({ length: PARTITIONS }, () => []);
  readonly #windows: ProducerWindow[] = Array.from({ length: PARTITIONS }, () => EMPTY_WINDOW);

  /** Stores the records of the partitions that are up; undefined: not all could be stored. */
  store({ sequence, records }: Sent, isUp: (partition: number) => boolean): PublishResult['receipts'] | undefined {
    const receipts = records.map(({ value, partition }, i) => {
      if (!isUp(partition)) return undefined;
      const window = this.#windows[partition] as ProducerWindow;
      const log = this.logs[partition] as number[];
      const place = { epoch: 'e', partition, count: 1 };
      if (repeatedCount(window, sequence + i, 1) === 1) {
        const offset = placesOf(window, sequence + i, 1)[0]?.firstOffset ?? -1;
        return { ...place, offset: offset === -1 ? null : offset, isDuplicate: true };
      }
      this.#windows[partition] = advanceWindow(window, sequence + i, log.length, 1);
      log.push(value);
      return { ...place, offset: log.length - 1 };
    });
    return receipts.includes(undefined) ? undefined : joined(receipts as PublishResult['receipts']);
  }
}

/** Consecutive places in one receipt, as the server answers. */
function joined(receipts: PublishResult['receipts']): PublishResult['receipts'] {
  const runs: PublishResult['receipts'][number][] = [];
  for (const receipt of receipts) {
    const last = runs.at(-1);
    const isNext =
      last?.partition === receipt.partition &&
      last.isDuplicate === receipt.isDuplicate &&
      (last.offset === null ? receipt.offset === null : last.offset + last.count === receipt.offset);
    if (last !== undefined && isNext) runs[runs.length - 1] = { ...last, count: last.count + 1 };
    else runs.push(receipt);
  }
  return runs;
}

const error = (code: string, retryable: boolean): TandemClientError => new TandemClientError(code, code, { retryable });

class Run {
  readonly server = new ModelServer();
  readonly receipts = new Map<number, PublishReceipt>();
  readonly rejected: number[] = [];
  readonly stream = new PublishStream('t', 'p', {
    inFlightMax: 5,
    ready() {},
    settled() {},
    leave: () => this.stream.lost(),
  });
  #sent: Sent | undefined;
  #values = 0;

  get sent(): Sent | undefined {
    return this.#sent;
  }

  publish(partition: number, isBad: boolean): void {
    const value = this.#values++;
    this.stream.add({
      json: JSON.stringify({ value, partition, isBad }),
      sequence: this.stream.lastSequence + 1,
      deadlineMs: Number.POSITIVE_INFINITY,
      resolve: (receipt) => this.receipts.set(value, receipt),
      reject: () => this.rejected.push(value),
      isSettled: false,
    });
  }

  /** What the connection does next, if something is or can be under way. */
  step(outcome: string, partition: number): void {
    mock.timers.tick(3000);
    const params = this.stream.takeRequest();
    if (params !== undefined) this.#sent = JSON.parse(params) as Sent;
    assert.equal(this.stream.takeRequest(), undefined, 'one request is under way at a time');
    const sent = this.#sent;
    if (sent === undefined) return;
    this.#sent = undefined;
    const isRefused = sent.records.some(({ isBad }) => isBad);
    if (outcome === 'lost unheard') this.stream.lost();
    else if (isRefused) this.stream.refused(error('TANDEM_RECORD_TOO_LARGE', false));
    else this.#outcome(outcome, sent, partition);
  }

  #outcome(outcome: string, sent: Sent, down: number): void {
    const receipts = this.server.store(sent, (partition) => outcome !== 'one partition is down' || partition !== down);
    if (outcome === 'answer lost') this.stream.lost();
    else if (outcome === 'drained') this.stream.refused(error('TANDEM_DRAINING', true));
    else if (receipts === undefined) this.stream.refused(error('TANDEM_OWNER_UNAVAILABLE', true));
    else assert.ok(this.stream.stored({ term: 1, receipts }));
  }
}

test('every good record is stored once and in order, whatever happens to requests and answers', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const publish = fc.record({ partition: fc.nat(PARTITIONS - 1), isBad: fc.nat(15).map((n) => n === 0) });
  const outcome = fc.constantFrom(
    'stored',
    'stored',
    'lost unheard',
    'answer lost',
    'drained',
    'one partition is down',
  );
  const action = fc.record({
    published: fc.array(publish, { maxLength: 4 }),
    outcome,
    partition: fc.nat(PARTITIONS - 1),
  });
  try {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const run = new Run();
        const good: number[][] = Array.from({ length: PARTITIONS }, () => []);
        const bad: number[] = [];
        let value = 0;
        for (const { published, outcome: what, partition } of actions) {
          for (const each of published) {
            (each.isBad ? bad : (good[each.partition] as number[])).push(value++);
            run.publish(each.partition, each.isBad);
          }
          run.step(what, partition);
        }
        for (let i = 0; i < 10_000 && !run.stream.isEmpty; i++) run.step('stored', 0);
        assert.ok(run.stream.isEmpty);
        assert.deepEqual(run.server.logs, good);
        assert.deepEqual(run.rejected, bad);
        for (const [published, { partition, offset }] of run.receipts)
          if (offset !== null) assert.equal(run.server.logs[partition]?.[offset], published);
        assert.equal(run.receipts.size, good.flat().length);
      }),
      { numRuns: 300 },
    );
  } finally {
    mock.timers.reset();
  }
});
