import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  type Bench,
  openBench,
  TOPIC,
  untilWithTime,
  type Worker,
  withMethods,
} from '../consumers/consumers.fixture.ts';
import type { HandlerRecord } from '../consumers/handler-api.ts';
import type { GroupStore } from '../core/contracts/engine.ts';
import { silentLogger } from '../core/contracts/telemetry.ts';
import type { ConsumerCommand } from '../core/contracts/worker.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { systemClock } from '../core/ports/clock.ts';
import { type CommandedNode, ConsumerCommands } from './consumer-commands.ts';
import { OwnPauses } from './consumer-pauses.ts';
import { SharedPauses } from './shared-pauses.ts';

interface TestedNode {
  readonly bench: Bench;
  readonly workers: readonly Worker[];
  readonly commands: ConsumerCommands;
  readonly seen: string[];
  readonly setBroken: (isBroken: boolean) => void;
}

/** As in the embedded engine: a replay covers the slot's own partition, even if no other member has come. */
function ownSlotOnly(groups: GroupStore, slot: number): GroupStore {
  return withMethods(groups, {
    async join(group, topic, onChange) {
      const membership = await groups.join(group, topic, onChange);
      if (!group.startsWith('replay:')) return membership;
      const assignments = membership.assignments.filter(({ partition }) => partition === slot);
      return { assignments, leave: () => membership.leave() };
    },
  });
}

/** Two workers with a partition each, commanded as the keeper commands them. */
async function openNode(t: TestContext): Promise<TestedNode> {
  const bench = await openBench(t, { partitions: 2 });
  const seen: string[] = [];
  let isBroken = false;
  const save = (record: HandlerRecord): void => {
    if (isBroken) throw new Error('broken');
    seen.push(record.text);
  };
  const retry = { attemptsMax: 1, backoffMs: 10, backoffMsMax: 100 };
  const workers = [0, 1].map((slot) => {
    const wrapGroups = (groups: GroupStore): GroupStore => ownSlotOnly(groups, slot);
    return bench.openWorker({ consumers: [{ retry }], module: { save }, wrapGroups });
  });
  for (const { consumers } of workers) await consumers.start();
  const obey = async ({ consumers }: Worker, command: ConsumerCommand): Promise<unknown> => {
    if (command.kind === 'skip') return consumers.skip(command.consumer, command.partition, command.toOffset);
    if (command.kind === 'replay') return consumers.replay(command.consumer, command.countMax);
    return consumers[command.kind](command.consumer);
  };
  const node: CommandedNode = {
    config: { consumers: [{ name: 'save' }] },
    status: { slots: workers.map((_, slot) => ({ slot, state: 'serving' })) } as unknown as CommandedNode['status'],
    command: (slot, request) => obey(workers[slot] as Worker, request as ConsumerCommand),
    async commandAll(request) {
      const results = await Promise.allSettled(workers.map((worker) => obey(worker, request as ConsumerCommand)));
      return {
        answers: results.flatMap((result, slot) =>
          result.status === 'fulfilled' ? [{ slot, result: result.value }] : [],
        ),
        failures: results.flatMap((result, slot) =>
          result.status === 'rejected' ? [{ slot, error: asTandemError(result.reason) }] : [],
        ),
      };
    },
  };
  const commands = new ConsumerCommands(
    node,
    new OwnPauses(
      () => [],
      () => {},
    ),
  );
  const setBroken = (value: boolean): void => {
    isBroken = value;
  };
  return { bench, workers, commands, seen, setBroken };
}

async function append({ workers }: TestedNode, partition: number, ...texts: string[]): Promise<void> {
  const records = texts.map((text) => ({ data: Buffer.from(text) }));
  await workers[0]?.ingest.append({ topic: TOPIC, partition, records });
}

test('skip is done by the worker that has the partition, and by no other', async (t) => {
  const node = await openNode(t);
  const { bench, commands, seen } = node;
  await commands.run({ kind: 'pause', consumer: 'save' });
  await append(node, 0, 'a0', 'a1');
  await append(node, 1, 'b0', 'b1', 'b2');
  const skipped = await commands.run({ kind: 'skip', consumer: 'save', partition: 1, toOffset: 2 });
  assert.deepEqual(skipped, { consumer: 'save', partition: 1, fromOffset: 0, toOffset: 2 });
  const refused = (partition: number, toOffset?: number) =>
    commands.run({ kind: 'skip', consumer: 'save', partition, ...(toOffset === undefined ? {} : { toOffset }) });
  await assert.rejects(refused(2, 1), { code: 'TANDEM_PARTITION_UNKNOWN', message: /no worker works on partition 2/ });
  await assert.rejects(refused(0, 9), { code: 'TANDEM_POSITION_AHEAD' });
  await assert.rejects(refused(0), { code: 'TANDEM_INPUT_MALFORMED' });
  await commands.run({ kind: 'resume', consumer: 'save' });
  await untilWithTime(bench.clock, () => seen.length === 3, 'the rest');
  assert.deepEqual(seen.sort(), ['a0', 'a1', 'b2']);
});

test('replay: countMax bounds the letters of all workers together', async (t) => {
  const node = await openNode(t);
  const { bench, commands, seen, setBroken } = node;
  const topic = { name: `${TOPIC}.dead`, partitions: 2, retentionMs: null, retentionBytes: null };
  await node.workers[0]?.engine.topics.ensure(topic);
  setBroken(true);
  await append(node, 0, 'a0', 'a1', 'a2');
  await append(node, 1, 'b0', 'b1', 'b2');
  const letters = async () => (await bench.read(topic.name, 0)).length + (await bench.read(topic.name, 1)).length;
  await untilWithTime(bench.clock, async () => (await letters()) === 6, 'all are dead letters');
  setBroken(false);
  const replay = async () =>
    (await commands.run({ kind: 'replay', consumer: 'save', countMax: 4 })) as { handled: number };
  assert.equal((await replay()).handled, 4);
  assert.equal(seen.length, 4);
  assert.equal((await replay()).handled, 2);
  assert.deepEqual(seen.sort(), ['a0', 'a1', 'a2', 'b0', 'b1', 'b2']);
});

test('an unknown consumer is not written down; a pause that cannot be written down changes nothing', async () => {
  const saved: string[] = [];
  const pauses = new OwnPauses(
    () => ['gone'],
    (name) => {
      if (name === 'full') throw new TandemError('TANDEM_DISK_FULL');
      saved.push(name);
    },
  );
  pauses.reload();
  const told: string[] = [];
  const node = {
    config: { consumers: [{ name: 'save' }, { name: 'full' }] },
    commandAll: async ({ kind }: { kind: string }) => {
      told.push(kind);
      return { answers: [], failures: [] };
    },
  } as unknown as CommandedNode;
  const commands = new ConsumerCommands(node, pauses);
  await assert.rejects(commands.run({ kind: 'pause', consumer: 'nobody' }), { code: 'TANDEM_CONSUMER_UNKNOWN' });
  await assert.rejects(commands.run({ kind: 'pause', consumer: 'full' }), { code: 'TANDEM_DISK_FULL' });
  assert.deepEqual([told, commands.pausedNames], [[], []]);
  // No worker serves: it is written down for those that come.
  await commands.run({ kind: 'pause', consumer: 'save' });
  assert.deepEqual([saved, commands.pausedNames, pauses.names], [['save'], ['save'], ['gone', 'save']]);
});

test('what another node has done does not undo what this one was told later', async (t) => {
  const stored = new Set(['save']);
  const { promise: answered, resolve: answer } = Promise.withResolvers<readonly string[]>();
  const store = {
    names: () => answered,
    async set(name: string, isPaused: boolean) {
      if (isPaused) stored.add(name);
      else stored.delete(name);
    },
    // It begins to look at once.
    onChange(listener: () => void) {
      listener();
      return () => {};
    },
  };
  const copy = new OwnPauses(
    () => ['save'],
    () => {},
  );
  copy.reload();
  const pauses = new SharedPauses({ copy, store, clock: systemClock, logger: silentLogger });
  t.after(() => pauses.close());
  const told: string[] = [];
  const node = {
    config: { consumers: [{ name: 'save' }] },
    commandAll: async ({ kind }: { kind: string }) => {
      told.push(kind);
      return { answers: [], failures: [] };
    },
  } as unknown as CommandedNode;
  const commands = new ConsumerCommands(node, pauses);
  await new Promise((resolve) => setImmediate(resolve));
  // Another node has resumed it; before the answer is here, it is paused again.
  stored.delete('save');
  const paused = commands.run({ kind: 'pause', consumer: 'save' });
  answer([]);
  await paused;
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([[...stored], told.at(-1)], [['save'], 'pause']);
  assert.equal(told.length, 2, 'the other node’s change was heard of');
});
