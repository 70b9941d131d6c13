/**
 * Who is master, by Sentinels.
 *
 * Sentinels name a new master some 0.9 s after it was promoted. So while the master is away or silent, its replicas are asked too: one that says
 * that it is master now, and that its history continues the lost master's (its former replication id), is the one that was promoted; nobody
 * but the Sentinels does that. A server that was merely started again says neither, however much it believes to be master.
 *
 * A server is used if it says that it is master and one of these holds:
 * - named: the Sentinels name it, with an epoch not below that of the last master used;
 * - successor: as above; its epoch is above its predecessor's, though not told yet;
 * - same: it is the very process with the very history that was used last, and nothing newer is known.
 * When Sentinels name another with a higher epoch, the master in use is left at once, whatever it says.
 */
import { delay, systemClock } from '../../../core/ports/clock.ts';
import type { RedisAddress } from '../../../core/redis-url.ts';
import { Candidate } from './candidate.ts';
import type { DataConnection } from './data-connection.ts';
import { type FinderEvents, type FinderSettings, type MasterFinder, ServerTroubles } from './master-finder.ts';
import { type SentinelCompanions, SentinelSession, type SentinelView } from './sentinel-session.ts';
import { addressText } from './server-connection.ts';
import { isSuccessor } from './server-facts.ts';
import { UnusableServer } from './unusable-server.ts';

/** The last master used. */
interface Lineage {
  readonly server: string;
  readonly runId: string;
  readonly replicationId: string;
  readonly configEpoch: number;
}

type Basis = 'named' | 'successor' | 'same';

const LOOK_EVERY_MS = 60;
const SESSIONS_MAX = 16;
const SERVERS_MAX = 32;
const FORGOTTEN_AFTER_FAILURES = 20;
/** When nobody was found for so long, whom the Sentinels name is believed in, even with a lower epoch: they may have been set up anew. */
const PATIENCE_MS = 4000;

export class SentinelFinder implements MasterFinder {
  readonly kind = 'sentinel';
  readonly #settings: FinderSettings;
  readonly #events: FinderEvents;
  readonly #troubles: ServerTroubles;
  readonly #end = new AbortController();
  readonly #sessions = new Map<string, SentinelSession>();
  /** Servers that hold data, as far as known. */
  readonly #known = new Map<string, RedisAddress>();
  readonly #candidates = new Map<string, Candidate>();
  #master: DataConnection | undefined;
  #lineage: Lineage | undefined;
  #isSearching = false;
  #searchingSinceMs = 0;

  constructor(settings: FinderSettings, events: FinderEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#troubles = new ServerTroubles(settings.logger, events.onRefused);
    for (const address of settings.url.addresses) this.#addSession(address);
    void this.#search();
  }

  get trouble(): string {
    return this.#troubles.last;
  }

  master(): DataConnection | undefined {
    return this.#master;
  }

  doubt(connection: DataConnection, code: string): void {
    if (code === 'READONLY' || code === 'MASTERDOWN') connection.close('is a replica');
  }

  async identity({ facts, replication }: DataConnection): Promise<string> {
    const { product, version } = facts;
    const ids = new Set([...this.#sessions.values()].flatMap(({ id, view }) => (view === undefined ? [] : [id])));
    return `${product} ${version} sentinel (${plural(replication.replicas, 'replica')}, ${plural(ids.size, 'sentinel')})`;
  }

  close(): void {
    this.#end.abort();
    for (const session of this.#sessions.values()) session.close();
    this.#endSearch();
    this.#master?.close('closed');
  }

  /** Whom the Sentinels name, by the highest epoch that any of them knows. */
  #view(): SentinelView | undefined {
    let best: SentinelView | undefined;
    for (const { view } of this.#sessions.values())
      if (view !== undefined && (best === undefined || view.configEpoch > best.configEpoch)) best = view;
    return best;
  }

  #addSession(address: RedisAddress): void {
    const { url, access } = this.#settings;
    const key = addressText(address);
    if (this.#sessions.has(key) || this.#sessions.size >= SESSIONS_MAX) return;
    const options = {
      address,
      access: { ...access, credentials: url.sentinelCredentials, database: 0 },
      masterName: url.masterName ?? '',
    };
    const session = new SentinelSession(options, {
      onView: () => this.#onView(),
      onCompanions: (companions) => this.#onCompanions(companions),
      onTrouble: (failed, problem) => this.#onTrouble(failed, problem),
      onFine: () => this.#troubles.fine(address),
    });
    this.#sessions.set(key, session);
  }

  #onTrouble(session: SentinelSession, problem: UnusableServer): void {
    // One that is set up wrongly stands in nobody's way while others answer.
    const { refusal, code, message } = problem;
    const isAlone = this.#view() === undefined;
    const told = refusal === undefined || isAlone ? problem : new UnusableServer(message, { code });
    this.#troubles.report(session.address, told);
    const isGiven = this.#settings.url.addresses.some((given) => addressText(given) === addressText(session.address));
    if (isGiven || session.failures < FORGOTTEN_AFTER_FAILURES) return;
    session.close();
    this.#sessions.delete(addressText(session.address));
  }

  #onView(): void {
    const view = this.#view();
    if (view === undefined) return;
    const named = addressText(view.master);
    this.#note(view.master);
    const lineage = this.#lineage;
    if (this.#master === undefined && !this.#end.signal.aborted) void this.#look(named, view.master);
    if (this.#master === undefined || lineage === undefined) return;
    // Also what was promoted before the Sentinels said so is confirmed here.
    if (named === lineage.server)
      this.#lineage = { ...lineage, configEpoch: Math.max(lineage.configEpoch, view.configEpoch) };
    else if (view.configEpoch > lineage.configEpoch) this.#master.close(`is superseded by ${named}`);
    // The same epoch: what was taken for the successor was not, or its epoch was guessed and is another's.
    else if (view.configEpoch === lineage.configEpoch) this.#master.close(`is not whom the Sentinels name, ${named}`);
  }

  #onCompanions({ replicas, sentinels }: SentinelCompanions): void {
    for (const address of replicas) this.#note(address);
    const ids = new Set([...this.#sessions.values()].map(({ id }) => id));
    for (const { id, address } of sentinels) if (!ids.has(id)) this.#addSession(address);
  }

  #note(address: RedisAddress): void {
    const server = addressText(address);
    this.#known.delete(server);
    this.#known.set(server, address);
    const [oldest = ''] = this.#known.keys();
    if (this.#known.size > SERVERS_MAX) this.#known.delete(oldest);
  }

  /** Until there is a master that answers. */
  async #search(): Promise<void> {
    if (this.#isSearching) return;
    this.#isSearching = true;
    this.#searchingSinceMs = performance.now();
    for (const session of this.#sessions.values()) session.lookAround();
    while (!this.#end.signal.aborted && (this.#master === undefined || this.#master.isSuspected)) {
      for (const [server, address] of this.#known)
        if (this.#master === undefined || server !== addressText(this.#master.address))
          void this.#look(server, address);
      await delay(systemClock, LOOK_EVERY_MS, this.#end.signal).catch(() => {});
    }
    this.#isSearching = false;
    this.#endSearch();
  }

  #endSearch(): void {
    for (const candidate of this.#candidates.values()) candidate.close();
    this.#candidates.clear();
  }

  async #look(server: string, address: RedisAddress): Promise<void> {
    let candidate = this.#candidates.get(server);
    if (candidate === undefined) {
      candidate = new Candidate(address, this.#settings.access);
      this.#candidates.set(server, candidate);
    }
    const answer = await candidate.look();
    // Meanwhile the search may have ended.
    if (answer === undefined || this.#candidates.get(server) !== candidate) return;
    if (answer instanceof UnusableServer) {
      const { message, code } = answer;
      const isNamed = addressText(this.#view()?.master ?? address) === server;
      this.#troubles.report(address, isNamed ? answer : new UnusableServer(message, { code }));
    } else {
      const basis = this.#basisOf(server, answer);
      if (basis !== undefined && candidate.take() !== undefined) this.#use(answer, server, basis);
    }
  }

  /** Why this server may be used; undefined: it may not. */
  #basisOf(server: string, { facts, replication }: DataConnection): Basis | undefined {
    if (!replication.isMaster || facts.isLoading) return undefined;
    const lineage = this.#lineage;
    const view = this.#view();
    const isNamed = view !== undefined && addressText(view.master) === server;
    const isPatient = performance.now() - this.#searchingSinceMs < PATIENCE_MS;
    if (isNamed && (lineage === undefined || view.configEpoch >= lineage.configEpoch || !isPatient)) return 'named';
    if (lineage === undefined) return undefined;
    if (isSuccessor(replication, lineage.replicationId)) return 'successor';
    const isSame = facts.runId === lineage.runId && replication.replicationId === lineage.replicationId;
    return isSame && (view === undefined || view.configEpoch <= lineage.configEpoch) ? 'same' : undefined;
  }

  #use(connection: DataConnection, server: string, basis: Basis): void {
    const before = this.#lineage;
    const toldEpoch = basis === 'named' ? (this.#view()?.configEpoch ?? 0) : 0;
    const leastEpoch = (before?.configEpoch ?? 0) + (basis === 'successor' ? 1 : 0);
    connection.configEpoch = Math.max(toldEpoch, leastEpoch);
    const { runId } = connection.facts;
    const { replicationId } = connection.replication;
    this.#lineage = { server, runId, replicationId, configEpoch: connection.configEpoch };
    const former = this.#master;
    this.#master = connection;
    former?.close(`is superseded by ${server}`);
    this.#troubles.fine(connection.address);
    if (before?.server !== server)
      this.#settings.logger.info('redis_master', { server, basis, configEpoch: connection.configEpoch });
    connection.watch(() => this.#onMasterChanged(connection));
    this.#events.onChanged();
  }

  #onMasterChanged(connection: DataConnection): void {
    if (this.#master !== connection) return;
    if (!connection.isOpen) {
      this.#master = undefined;
      if (!this.#end.signal.aborted)
        this.#troubles.report(connection.address, new UnusableServer(connection.closeReason ?? ''));
    }
    this.#events.onChanged();
    if (!connection.isOpen || connection.isSuspected) void this.#search();
  }
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
