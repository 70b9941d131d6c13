/** One episode of a drill over Redis: its faults come, then everybody has to be served again within their bounds, and all nodes do what they should. */
import type { Clients } from '../clients.ts';
import { injectAll } from '../episode.ts';
import type { PlannedEpisode } from '../plan.ts';
import { pause } from '../producers/producer.ts';
import type { NodeWatch } from './node-watch.ts';
import { REDIS_FAULT_KINDS, REJOIN_MS_MAX, type RedisFaultName, type RedisWorld } from './redis-fault.ts';
import { injectRedis } from './redis-inject.ts';

const POLL_MS = 50;
/** Sentinels take some 10 s to make a replica of a former master. */
const SETTLE_MS_MAX = 60_000;

/** Where the store has lost what it had, spools send it again, and subscribers read it again, at least so fast. */
export const REPEATED_PER_MS = 10;

const repeatsOf = (clients: Clients, watch: NodeWatch): number =>
  clients.subscribers.reduce((sum, subscriber) => sum + subscriber.watch.gaps, watch.sentAgain);

/** Monotonic ms. */
export interface RedisEpisode {
  readonly number: number;
  readonly faults: readonly { readonly name: RedisFaultName; readonly text: string }[];
  readonly startMs: number;
  /** All faults were over, the dead were started again. */
  readonly overMs: number;
  readonly boundMs: number;
  /** Everybody was served again; or who was not when the bound had passed. */
  readonly back: number | readonly string[];
  /** All nodes did what they should; or which did not. */
  readonly rejoined: number | readonly string[];
  /** Between two acknowledgements that the client of one node has seen. */
  readonly longestPauses: readonly { readonly name: string; readonly pauseMs: number }[];
}

export async function runRedisEpisode(
  number: number,
  planned: PlannedEpisode<RedisFaultName>,
  { world, watch }: { readonly world: RedisWorld; readonly watch: NodeWatch },
): Promise<RedisEpisode> {
  const { clients, nodes, site } = world;
  const probes = clients.producers.filter(({ history }) => history.name.startsWith('probe'));
  for (const { history } of probes) history.longestPauseMs = 0;
  const startMs = performance.now();
  const before = repeatsOf(clients, watch);
  const faults = await injectAll(planned, {
    inject: (fault) => injectRedis(fault, world),
    complain: (breach) => world.complain(breach),
    isOneByOne: false,
  });
  const overMs = performance.now();
  let boundMs = Math.max(...faults.map(({ name }) => REDIS_FAULT_KINDS[name].backWithinMs));
  const servedAgain = async (): Promise<number | string[]> => {
    const back = await clients.served(overMs, overMs + boundMs);
    if (typeof back === 'number' || repeatsOf(clients, watch) === before) return back;
    boundMs += clients.acked / REPEATED_PER_MS;
    return clients.served(overMs, overMs + boundMs);
  };
  const back = await servedAgain();
  const rejoined = await untilNone(() => nodes.unready(), overMs + REJOIN_MS_MAX);
  const longestPauses = probes.map(({ history }) => ({ name: history.name, pauseMs: history.longestPauseMs }));
  // Often the next one comes before replicas have caught up.
  if (planned.quietMs % 2 < 1)
    await site.settled(SETTLE_MS_MAX).catch((error: unknown) => world.complain(`NOT SETTLED: ${String(error)}`));
  if (typeof back === 'number') return { number, faults, startMs, overMs, boundMs, back, rejoined, longestPauses };
  const undrained = (await watch.undrained()).map((text) => `spool of ${text}`);
  const late = { back: [...back, ...undrained] };
  return { number, faults, startMs, overMs, boundMs, ...late, rejoined, longestPauses };
}

/** When the list was empty; or what it was at the deadline. */
export async function untilNone(list: () => Promise<string[]>, deadlineMs: number): Promise<number | string[]> {
  for (;;) {
    const found = await list();
    if (found.length === 0) return performance.now();
    if (performance.now() > deadlineMs) return found;
    await pause(POLL_MS);
  }
}
