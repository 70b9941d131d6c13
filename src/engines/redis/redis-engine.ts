/**
 * The Redis engine: the whole engine contract on Redis (7 or later) or Valkey: one server, Sentinel, or Cluster. Any number of processes on any number
 * of machines open the same store; none of them owns anything.
 *
 *   connections/       which server process a call goes to, in which order, and whether it was executed
 *   library/           Redis functions: everything that must be atomic; the form in which all is stored
 *   library-shard.ts   calls under a history; shards.ts: adoption of servers
 *   record-store.ts, entries.ts, watches.ts, retention.ts, topics.ts, groups.ts, leases.ts   the contract's parts
 *
 * What is acknowledged ('stored') is in the server's memory, and as durable as its own settings say: Redis replicates and writes to its disk later,
 * so a failover or a restart may lose it. That is never silent: the history changes (library/shards.lua.ts), readers beyond what survived
 * get TANDEM_POSITION_LOST, and a spool in front of this engine sends again what is missing.
 */
import type { Engine, EngineCapabilities } from '../../core/contracts/engine.ts';
import type { MetricSample, MetricSource } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import type { Timer } from '../../core/ports/clock.ts';
import { parseRedisUrl } from '../../core/redis-url.ts';
import { openRedisServers } from './connections/open-redis-servers.ts';
import type { RedisServers } from './connections/redis-servers.ts';
import { DEFAULT_SETTINGS, DEFAULT_SHARDS, type RedisEngineOptions, type Settings } from './engine-settings.ts';
import { RedisGroups } from './groups.ts';
import { RedisLeases } from './leases.ts';
import { Partitions } from './partitions.ts';
import { RedisPeers } from './peers.ts';
import { RedisRecordStore } from './record-store.ts';
import { sampleMetrics } from './redis-metrics.ts';
import { Retention } from './retention.ts';
import { SeenTerms } from './seen-terms.ts';
import { Shards, STORE_ID_BYTES } from './shards.ts';
import { StoreTerm } from './store-term.ts';
import { Topics } from './topics.ts';
import { Watches } from './watches.ts';

export type { RedisEngineOptions } from './engine-settings.ts';

export interface RedisEngine extends Engine, MetricSource {
  /** Random, of this store; another one if the catalog was lost. */
  readonly storeId: string;
  /**
   * How the node `holder` (`name/incarnation`) reaches the others that share this store. Closed with the engine, or before. A node opens one.
   */
  openPeers(holder: string, heartbeatTimeoutMs: number): RedisPeers;
  /** Applies retention now to this process's partitions. Never rejects. */
  applyRetention(): Promise<void>;
}

const WIRE_VERSION = 1;

/**
 * Opens the store, which is made if there is none. If it fails nothing is left open. Errors: TANDEM_CONFIG_INVALID (the URL),
 * TANDEM_STORE_UNREACHABLE, TANDEM_STORE_FAILED (rights, password), TANDEM_DATA_VERSION.
 */
export async function openRedisEngine(options: RedisEngineOptions): Promise<RedisEngine> {
  const settings = { ...DEFAULT_SETTINGS, ...options };
  const { logger, random, replication, timeouts } = settings;
  const url = parseRedisUrl(settings.url);
  const shards = new Shards({ prefix: url.prefix, random, logger, replication });
  const servers = openRedisServers({
    url,
    prepare: (tag, call, server) => shards.prepare(tag, call, server),
    logger,
    ...(timeouts === undefined ? {} : { timeouts }),
  });
  shards.attach(servers);
  const engine = new OpenedEngine(settings, servers, shards);
  try {
    await engine.open();
  } catch (error) {
    await engine.close();
    throw error;
  }
  return engine;
}

class OpenedEngine implements RedisEngine {
  readonly capabilities: EngineCapabilities;
  readonly topics: Topics;
  readonly store: RedisRecordStore;
  readonly groups: RedisGroups;
  readonly leases: RedisLeases;
  storeId = '';
  readonly #settings: Settings;
  readonly #servers: RedisServers;
  readonly #shards: Shards;
  readonly #term = new StoreTerm();
  readonly #seenTerms = new SeenTerms();
  readonly #watches: Watches;
  readonly #retention: Retention;
  readonly #peers: RedisPeers[] = [];
  readonly #timers = new Map<string, Timer>();
  #closing: Promise<void> | undefined;

  constructor(settings: Settings, servers: RedisServers, shards: Shards) {
    this.#settings = settings;
    this.#servers = servers;
    this.#shards = shards;
    this.capabilities = {
      ...{ isDurable: true, isShared: true, provesDeath: false, reopens: true },
      takesOrigins: true,
      ack: settings.replication === undefined ? 'stored' : 'replicated',
    };
    const { catalog } = shards;
    const common = { ...settings, catalog, term: this.#term, seenTerms: this.#seenTerms };
    const partitions = new Partitions(shards);
    this.topics = new Topics(common);
    this.#watches = new Watches(settings);
    this.store = new RedisRecordStore({ ...common, topics: this.topics, partitions, watches: this.#watches });
    this.groups = new RedisGroups({ ...common, ownTerm: () => this.#term.own });
    this.leases = new RedisLeases(common);
    this.#retention = new Retention({ ...common, topics: this.topics, partitions, store: this.store });
  }

  async open(): Promise<void> {
    const { term, retentionIntervalMs, topicsIntervalMs, historyIntervalMs, logger } = this.#settings;
    const wanted = this.#settings.shards ?? DEFAULT_SHARDS[this.#servers.kind];
    const { shards, claimed } = await this.#openCatalog(wanted);
    this.#shards.setCount(shards);
    this.#act(term ?? claimed);
    await this.topics.refresh();
    this.#shards.catalog.onReconnected(() => {
      this.#rejoin(shards).catch((error: unknown) => logger.warn('redis_catalog_not_read', { error: String(error) }));
    });
    this.#repeat('retention', retentionIntervalMs, () => void this.#retention.apply());
    this.#repeat('histories', historyIntervalMs, () => void this.#shards.verify());
    this.#repeat('topics', topicsIntervalMs, () => void this.topics.refresh().catch(() => {}));
  }

  async claim(term: number): Promise<void> {
    this.#requireOpen();
    await this.#shards.claim(term);
    this.#act(Math.max(term, this.#term.own));
    this.groups.termChanged();
  }

  async identity(): Promise<string> {
    this.#requireOpen();
    return this.#servers.identity();
  }

  openPeers(holder: string, heartbeatTimeoutMs: number): RedisPeers {
    this.#requireOpen();
    const { clock, logger } = this.#settings;
    const peers = new RedisPeers({ catalog: this.#shards.catalog, clock, logger, holder, heartbeatTimeoutMs });
    this.#peers.push(peers);
    return peers;
  }

  applyRetention(): Promise<void> {
    return this.#retention.apply();
  }

  metrics(): MetricSample[] {
    return sampleMetrics(this.store, this.#shards, this.#watches);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers.values()) timer.cancel();
    this.topics.close();
    this.#watches.close();
    await Promise.all(
      [this.store, this.#retention, this.groups, this.leases, ...this.#peers].map((part) => part.close()),
    );
    await this.#servers.close();
  }

  async #openCatalog(shards: number): Promise<{ readonly shards: number; readonly claimed: number }> {
    const { catalog } = this.#shards;
    const args = [this.#settings.random.id(STORE_ID_BYTES), String(shards)];
    const [, storeId, count, version, claimed] = await catalog.call('open', [catalog.key('catalog')], args);
    if (Number(version) !== WIRE_VERSION)
      throw new TandemError('TANDEM_DATA_VERSION', { detail: `${version} instead of ${WIRE_VERSION}` });
    this.storeId = String(storeId);
    return { shards: Number(count), claimed: Number(claimed) };
  }

  /** After a new connection the catalog may be another one: an older one, or empty. */
  async #rejoin(shards: number): Promise<void> {
    if (this.#closing !== undefined) return;
    const found = await this.#openCatalog(shards);
    if (found.shards !== shards)
      this.#settings.logger.error('redis_store_has_other_shards', { found: found.shards, known: shards });
    await this.topics.refresh();
    // The claim was lost with the history: it is made again. Where another process has claimed a higher term, that counts.
    if (found.claimed < this.#term.own) await this.claim(this.#term.own);
  }

  #act(term: number): void {
    this.#term.actUnder(term);
    this.#seenTerms.saw(term);
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw new TandemError('TANDEM_DRAINING', { detail: 'the engine is closed' });
  }

  #repeat(name: string, intervalMs: number, action: () => void): void {
    const again = (): void => {
      if (this.#closing !== undefined) return;
      action();
      this.#timers.set(name, this.#settings.clock.after(intervalMs, again));
    };
    this.#timers.set(name, this.#settings.clock.after(intervalMs, again));
  }
}
