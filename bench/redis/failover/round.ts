/** One failover under load: the master is killed with -9 or stopped, perhaps after its replica had been cut off for a moment; the old one comes back. */
import { pause } from '../../../chaos/producers/producer.ts';
import type { Random } from '../../../src/core/ports/random.ts';
import { until } from '../../../src/core/testing/until.ts';
import type { Phase } from './lane-log.ts';
import { type Pair, pairsOf, type Site } from './site.ts';

export interface Fault {
  readonly kind: 'kill' | 'hang';
  /** Before it, the replica gets nothing for so long, and cannot know what the master acknowledged meanwhile. */
  readonly cutMs: number;
  /** The old master comes back as a master, as its own config says, until Sentinels find it; else as a replica, as who starts it says. */
  readonly isLeftToSentinels: boolean;
}

export interface RoundOptions {
  readonly site: Site;
  readonly random: Random;
  readonly fault: Fault;
  /** Before the fault and after the new master is there. */
  readonly calmMs: number;
  /** Told before the phase begins. */
  readonly enter: (phase: Phase) => Promise<void>;
}

const CUT_MS_MIN = 50;
const CUT_MS_MAX = 400;
const PROMOTED_WITHIN_MS = 30_000;

/** Half of the faults find the replica behind; a quarter are hangs. */
export function drawFault(random: Random): Fault {
  const cutMs = random.fraction() < 0.5 ? 0 : Math.round(CUT_MS_MIN + random.fraction() * (CUT_MS_MAX - CUT_MS_MIN));
  const kind = random.fraction() < 0.25 ? 'hang' : 'kill';
  return { kind, cutMs, isLeftToSentinels: random.fraction() < 0.1 };
}

/** From `recovery` to `recovery`. Returns how long it took until the replica was the master. */
export async function failOver({ site, random, fault, calmMs, enter }: RoundOptions): Promise<number> {
  await pairsOf(site);
  await enter('calm');
  await pause(calmMs);
  const pairs = await pairsOf(site);
  const pair = pairs[Math.floor(random.fraction() * pairs.length)] as Pair;
  await cutReplica(pair, fault.cutMs);
  await enter('failover');
  const startedMs = performance.now();
  if (fault.kind === 'kill') await pair.master.kill();
  else pair.master.pause();
  pair.replica.resume();
  await until(
    () => `${pair.replica.address} is the master after ${pair.master.address}`,
    async () => (await pair.replica.role().catch(() => undefined)) === 'master',
    PROMOTED_WITHIN_MS,
  );
  const promotedMs = performance.now() - startedMs;
  await pause(calmMs);
  await enter('recovery');
  await bringBack(site, pair, fault);
  return promotedMs;
}

/** The link is cut by the master, and the replica cannot ask for a new one as long as it is stopped. */
async function cutReplica({ master, replica }: Pair, cutMs: number): Promise<void> {
  if (cutMs === 0) return;
  replica.pause();
  await master.call('CLIENT', 'KILL', 'TYPE', 'replica');
  await pause(cutMs);
}

async function bringBack(site: Site, { master: old, replica: promoted }: Pair, fault: Fault): Promise<void> {
  if (fault.kind === 'hang') {
    old.resume();
    return;
  }
  await old.restart();
  if (site.kind === 'sentinel' && !fault.isLeftToSentinels)
    await old.call('REPLICAOF', promoted.host, `${promoted.port}`);
}
