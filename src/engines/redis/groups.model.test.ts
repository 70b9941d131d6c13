/** Random joins, leaves, crashes, faults and failovers of a consumer group, by seed: TANDEM_SEED=n repeats one, TANDEM_SEEDS=n runs so many. */
import { test } from 'node:test';
import { type Random, seededRandom } from '../../core/ports/random.ts';
import type { Snapshot } from './catalog.fixture.ts';
import { GroupsWorld, type Member, SESSION_MS } from './groups-world.fixture.ts';

const SEED = Number(process.env['TANDEM_SEED'] ?? 0);
const COUNT = Number(process.env['TANDEM_SEEDS'] ?? 24);
const SEEDS = SEED > 0 ? [SEED] : Array.from({ length: COUNT }, (_, i) => i + 1);
const STEPS = 40;
const PARTITIONS_MAX = 12;
const MEMBERS_MAX = 6;

for (const seed of SEEDS)
  test(`a partition has at most one member, in the end exactly one, seed ${seed}`, async (t) => {
    const random = seededRandom(seed);
    const world = await GroupsWorld.start(t, random, 1 + Math.floor(random.fraction() * PARTITIONS_MAX));
    let snapshot: Snapshot = await world.server.snapshot();
    for (let step = 0; step < STEPS; step++) {
      const previous = snapshot;
      snapshot = await world.server.snapshot();
      await act(world, random, random.fraction() < 0.5 ? previous : snapshot);
      await world.pass(random.fraction() ** 3 * SESSION_MS * 1.5);
      await world.checkFencing();
    }
    for (const { shard } of world.live) shard.fault = 'none';
    if (world.live.length === 0) await world.join();
    await world.pass(4 * SESSION_MS);
    await world.checkCalm();
    await world.checkFencing();
  });

async function act(world: GroupsWorld, random: Random, snapshot: Snapshot): Promise<void> {
  const chance = random.fraction();
  const { live } = world;
  const member = live[Math.floor(random.fraction() * live.length)];
  if (chance < 0.25 || member === undefined) {
    if (live.length < MEMBERS_MAX) await world.join();
  } else if (chance < 0.35) await world.leave(member);
  else if (chance < 0.45) world.crash(member);
  else if (chance < 0.55) await replace(world, member);
  else if (chance < 0.7) member.shard.fault = random.fraction() < 0.5 ? 'requests' : 'late';
  else if (chance < 0.75) member.shard.fault = 'answers';
  else if (chance < 0.85) for (const { shard } of live) shard.fault = 'none';
  else if (chance < 0.9) await world.grow(world.partitions + Math.floor(random.fraction() * 4));
  else await world.failover(snapshot, random.fraction() * SESSION_MS);
}

async function replace(world: GroupsWorld, member: Member): Promise<void> {
  world.crash(member);
  await world.join(member.name);
}
