/**
 * What a keeper has of a Redis store: leases, the other nodes, pauses of consumers, and the claim of a term. No records. The servers need not be there: what is asked
 * meanwhile is rejected, and messages go through as soon as they are.
 */
import type { LeaseStore } from '../../core/contracts/engine.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { systemClock } from '../../core/ports/clock.ts';
import { systemRandom } from '../../core/ports/random.ts';
import { parseRedisUrl } from '../../core/redis-url.ts';
import { openRedisServers } from './connections/open-redis-servers.ts';
import { DEFAULT_SHARDS } from './engine-settings.ts';
import { RedisLeases } from './leases.ts';
import { RedisPauses } from './pauses.ts';
import { RedisPeers } from './peers.ts';
import { SeenTerms } from './seen-terms.ts';
import { Shards, STORE_ID_BYTES } from './shards.ts';

export interface RedisNodeOptions {
  readonly url: string;
  /** `name/incarnation`: as a holder of leases. */
  readonly holder: string;
  readonly heartbeatTimeoutMs: number;
  readonly logger: Logger;
}

export interface RedisNode {
  readonly leases: LeaseStore;
  readonly peers: RedisPeers;
  readonly pauses: RedisPauses;
  /** As Engine.claim. */
  claim(term: number): Promise<void>;
  close(): Promise<void>;
}

/** Errors: TANDEM_CONFIG_INVALID (the URL). */
export function openRedisNode(options: RedisNodeOptions): RedisNode {
  const { logger } = options;
  const [clock, random] = [systemClock, systemRandom];
  const url = parseRedisUrl(options.url);
  const shards = new Shards({ prefix: url.prefix, random, logger, replication: undefined });
  const servers = openRedisServers({ url, prepare: (tag, call, server) => shards.prepare(tag, call, server), logger });
  shards.attach(servers);
  const { catalog } = shards;
  const seenTerms = new SeenTerms();
  const leases = new RedisLeases({ catalog, clock, random, seenTerms });
  const peers = new RedisPeers({ ...options, catalog, clock });
  peers.onEvent(({ peer }) => seenTerms.saw(peer.facts.term));
  return {
    leases,
    peers,
    pauses: new RedisPauses(catalog),
    async claim(term) {
      const made = [random.id(STORE_ID_BYTES), String(DEFAULT_SHARDS[servers.kind])];
      const [, , count] = await catalog.call('open', [catalog.key('catalog')], made);
      shards.setCount(Number(count));
      await shards.claim(term);
    },
    async close() {
      await Promise.all([peers.close(), leases.close()]);
      await servers.close();
    },
  };
}
