/**
 * The spool: an engine made of two. Records are appended to a local log, which is flushed before they are acknowledged, and forwarded from there to a
 * remote engine, in order per partition (partition-forwarder.ts). So acknowledgements depend on this machine's disk alone, and go on while the remote
 * engine is away or fails over.
 *
 *   append ──▶ room (spool-room.ts) ──▶ local log ──▶ acknowledged
 *                                          └──▶ forwarder ──▶ remote engine ──▶ readers
 *
 * What an acknowledgement means: the record is on the medium of this machine, and will be in the remote engine, once, as soon as that takes records and
 * a process of this slot lives. It is read from there, later. Its place is not known when it is acknowledged: `firstOffset` -1, `epoch` ''.
 *
 * Promises, for what was acknowledged:
 * - Nothing is skipped: what the remote engine is not known to have is never trimmed, and nothing is stored there behind a hole.
 * - Once: by the origin of this log, whatever is sent again; with a producer also if a client has sent it through another spool.
 * - In order per partition, as it was appended here. A producer that changes to another node while the engine is away may be overtaken there by what
 *   it sends from then on.
 * - What the remote engine has confirmed is kept for `windowMs` more. A failover that has lost some of it is noticed, at the next append at once and
 *   otherwise within a round; that is sent again, before anything new of the same partition. What is not kept any more is counted and logged as lost.
 *
 * The window is shorter while more than half of `bytesMax` is in use (windowMinMs): what is not confirmed is worth more than what is. At `bytesMax` appends
 * wait or are refused (TANDEM_SPOOL_FULL).
 *
 * Reads, groups, leases, terms and trims are the remote engine's. Terms do not fence what is forwarded: an acknowledged record is stored, whoever has
 * become active meanwhile.
 *
 * Non-goals: outliving the loss of this machine's disk before the records are forwarded; reading what is only here.
 */
import type { Engine, EngineCapabilities } from '../../core/contracts/engine.ts';
import type { MetricSample, MetricSource } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import { Forwarding } from './forwarding.ts';
import { RemoteLink } from './remote-link.ts';
import { sampleSpool } from './spool-metrics.ts';
import { type SpoolOptions, type SpoolSettings, settingsOf } from './spool-options.ts';
import { SpoolRoom } from './spool-room.ts';
import { spooledStore } from './spooled-store.ts';
import { SpooledTopics } from './spooled-topics.ts';

export type { SpoolOptions } from './spool-options.ts';

/** If something is on its way and nothing was answered for so long, the remote engine counts as away, though it says nothing. */
const SILENCE_MS = 3000;
const ORIGIN_ID_CHARS_MAX = 100;

export interface SpooledEngine extends Engine, MetricSource {
  /** Why nothing can be appended; undefined: it can. */
  readonly problem: string | undefined;
  /** Nothing waits for room from now on: it is refused. For what drains, and must answer what it has. */
  stopWaiting(): void;
}

/**
 * Takes both engines over, also if it fails: then they are closed. Errors: those of the local store; TANDEM_INTERNAL if the remote engine takes no
 * origins. The remote engine need not answer.
 */
export async function openSpooledEngine(options: SpoolOptions): Promise<SpooledEngine> {
  const settings = settingsOf(options);
  const engine = new LocalFirstEngine(settings);
  try {
    if (!settings.remote.capabilities.takesOrigins || settings.originId.length > ORIGIN_ID_CHARS_MAX)
      throw new TandemError('TANDEM_INTERNAL', { detail: 'no spool before this engine' });
    await engine.start();
  } catch (error) {
    await engine.close().catch(() => {});
    throw error;
  }
  return engine;
}

class LocalFirstEngine implements SpooledEngine {
  readonly capabilities: EngineCapabilities;
  readonly topics: SpooledTopics;
  readonly store: Engine['store'];
  readonly groups: Engine['groups'];
  readonly leases: Engine['leases'];
  readonly #settings: SpoolSettings;
  readonly #link: RemoteLink;
  readonly #room: SpoolRoom;
  readonly #forwarding: Forwarding;
  #closing: Promise<void> | undefined;

  constructor(settings: SpoolSettings) {
    const { local, remote, clock, whenFull } = settings;
    const link = new RemoteLink(settings);
    const room = new SpoolRoom({ ...settings, whenFull, onFull: () => this.#forwarding.hurry() });
    this.#settings = settings;
    this.#link = link;
    this.#room = room;
    this.capabilities = {
      ...remote.capabilities,
      isDurable: local.capabilities.isDurable,
      ...{ takesOrigins: false, answersBeforePlaces: true, ack: 'flushed' },
    };
    this.topics = new SpooledTopics({ ...settings, local: local.topics, remote: remote.topics, link });
    this.store = spooledStore({
      local,
      remote: remote.store,
      link,
      clock,
      isClosed: () => this.#closing !== undefined,
    });
    this.groups = remote.groups;
    this.leases = remote.leases;
    this.#forwarding = new Forwarding({ settings, link, topics: this.topics, room });
  }

  async start(): Promise<void> {
    const { local } = this.#settings;
    await this.topics.keepAll();
    local.admit((batch, append) => {
      this.#forwarding.begin(batch.topic, batch.partition);
      return this.#room.admit(batch, append);
    });
    await this.#forwarding.start();
    this.#room.measure();
  }

  get problem(): string | undefined {
    const { whenFull, bytesMax } = this.#settings;
    if (whenFull !== 'refuse' || !this.#room.isFull) return undefined;
    return `TANDEM_SPOOL_FULL: ${this.#room.bytes} of ${bytesMax} bytes`;
  }

  claim(term: number): Promise<void> {
    return this.#settings.remote.claim(term);
  }

  identity(): Promise<string> {
    return this.#settings.remote.identity();
  }

  metrics(): MetricSample[] {
    const { clock, local, remote } = this.#settings;
    const own = sampleSpool({
      forwarding: this.#forwarding,
      room: this.#room,
      clock,
      isRemoteAway: this.#isRemoteAway,
    });
    const ofLocal = (local.metrics?.() ?? []).map((sample) => ({
      ...sample,
      labels: { ...sample.labels, part: 'spool' },
    }));
    return [...own, ...ofLocal, ...(remote.metrics?.() ?? [])];
  }

  stopWaiting(): void {
    this.#room.stopWaiting();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { local, remote, drainMs } = this.#settings;
    this.#room.stopWaiting();
    await this.#forwarding.drain(drainMs);
    this.#forwarding.stop();
    this.#link.close();
    this.topics.close();
    const results = await Promise.allSettled([remote.close(), local.close()]);
    for (const result of results)
      if (result.status === 'rejected') throw asTandemError(result.reason, 'TANDEM_STORE_FAILED');
  }

  get #isRemoteAway(): boolean {
    if (this.#link.isAway) return true;
    const silentMs = this.#settings.clock.monotonicMs() - this.#forwarding.counters.answeredMs;
    return this.#forwarding.inFlightAppends > 0 && silentMs > SILENCE_MS;
  }
}
