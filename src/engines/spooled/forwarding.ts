/**
 * The forwarders of all partitions that this process owns, and the rounds in which they check what was confirmed and trim it.
 *
 * A partition gets its forwarder at the start, or when the first append to it is admitted: then this process owns it for as long as it lives.
 */
import type { Timer } from '../../core/ports/clock.ts';
import type { ForwarderContext, SpoolCounters } from './forwarder-context.ts';
import { InFlightBudget } from './in-flight-budget.ts';
import { PartitionForwarder } from './partition-forwarder.ts';
import type { RemoteLink } from './remote-link.ts';
import type { SpoolSettings } from './spool-options.ts';
import type { SpoolRoom } from './spool-room.ts';
import type { SpooledTopics } from './spooled-topics.ts';

/** One partition may have this part of all bytes on the way. */
const PARTITION_SHARE = 4;
/** Partitions that are checked at a time. */
const CHECKED_AT_ONCE = 256;
/** While there is no room, and when a failover is suspected. */
const HURRIED_ROUND_MS = 100;
const DRAIN_POLL_MS = 10;
/** How often it is looked what topics and partitions were made elsewhere. */
const FOLLOW_MS = 3000;
const TRIMS_PER_WINDOW = 12;
const TRIM_MS_MAX = 5000;
/** The log gives space back when so much was trimmed. */
const RECLAIM_BYTES = 32 * 1024 * 1024;

export interface ForwardingParts {
  readonly settings: SpoolSettings;
  readonly link: RemoteLink;
  readonly topics: SpooledTopics;
  readonly room: SpoolRoom;
}

export class Forwarding {
  readonly counters: SpoolCounters = { forwarded: 0, sentAgain: 0, lost: 0, answeredMs: 0 };
  readonly #parts: ForwardingParts;
  readonly #budget: InFlightBudget;
  readonly #context: ForwarderContext;
  /** topic -> by partition */
  readonly #forwarders = new Map<string, (PartitionForwarder | undefined)[]>();
  readonly #all: PartitionForwarder[] = [];
  #timer: Timer | undefined;
  #isInRound = false;
  #isHurried = false;
  #isStopped = false;
  #followedMs = 0;
  #trimmedMs = 0;
  #reclaimableBytes = 0;

  constructor(parts: ForwardingParts) {
    const { settings, link, topics } = parts;
    this.#parts = parts;
    this.#budget = new InFlightBudget(settings.inFlightBytesMax);
    this.#context = {
      ...settings,
      link,
      budget: this.#budget,
      inFlightBytesMax: Math.max(1, settings.inFlightBytesMax / PARTITION_SHARE),
      counters: this.counters,
      bringTopic: (topic) => topics.bring(topic),
      forgetTopic: (topic) => topics.forget(topic),
      onSuspicion: () => this.hurry(),
    };
    link.onBack = () => this.hurry();
  }

  /** With what earlier processes have left. */
  async start(): Promise<void> {
    const { local } = this.#parts.settings;
    for (const { name } of await local.topics.list())
      for (const partition of local.ownPartitions(name)) this.begin(name, partition);
    this.#schedule();
  }

  /** Something is appended to this partition. Idempotent. */
  begin(topic: string, partition: number): void {
    let forwarders = this.#forwarders.get(topic);
    if (forwarders === undefined) {
      forwarders = [];
      this.#forwarders.set(topic, forwarders);
    }
    if (forwarders[partition] !== undefined || this.#isStopped) return;
    const forwarder = new PartitionForwarder({ topic, partition }, this.#context);
    forwarders[partition] = forwarder;
    this.#all.push(forwarder);
  }

  get inFlightBytes(): number {
    return this.#budget.bytes;
  }

  get unconfirmedRecords(): number {
    let records = 0;
    for (const forwarder of this.#all) records += forwarder.unconfirmedRecords;
    return records;
  }

  get inFlightAppends(): number {
    let appends = 0;
    for (const { inFlight } of this.#all) appends += inFlight;
    return appends;
  }

  /** Unix milliseconds; undefined: everything is confirmed. */
  get oldestMs(): number | undefined {
    let oldest: number | undefined;
    for (const { oldestMs } of this.#all) if (oldestMs !== undefined) oldest = Math.min(oldest ?? oldestMs, oldestMs);
    return oldest;
  }

  /** How long what was confirmed is kept now. */
  get windowMs(): number {
    const { windowMs, windowMinMs } = this.#parts.settings;
    return this.#parts.room.windowMs(windowMs, windowMinMs);
  }

  /** The next round comes soon. */
  hurry(): void {
    if (this.#isHurried || this.#isStopped) return;
    this.#isHurried = true;
    if (!this.#isInRound) this.#schedule();
  }

  /** Resolves when all is confirmed that was appended before, or after `boundMs`, or if the remote engine does not answer. */
  async drain(boundMs: number): Promise<void> {
    const { settings, link } = this.#parts;
    const { clock } = settings;
    const endMs = clock.monotonicMs() + boundMs;
    await this.#look();
    while (!link.isAway && clock.monotonicMs() < endMs && this.#all.some(({ isDone }) => !isDone)) {
      const waitMs = Math.min(DRAIN_POLL_MS, endMs - clock.monotonicMs());
      await new Promise<void>((resolve) => clock.after(waitMs, resolve));
    }
  }

  /** No append and no trim is begun after it; those in hand end with their engines. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    for (const forwarder of this.#all) forwarder.stop();
    this.#budget.close();
  }

  #schedule(): void {
    if (this.#isStopped) return;
    const { clock, roundMs } = this.#parts.settings;
    this.#timer?.cancel();
    this.#timer = clock.after(
      this.#isHurried ? Math.min(HURRIED_ROUND_MS, roundMs) : roundMs,
      () => void this.#round(),
    );
  }

  async #round(): Promise<void> {
    const { link, room } = this.#parts;
    this.#isInRound = true;
    this.#isHurried = false;
    await this.#look();
    const trimmedBytes = link.isAway ? 0 : await this.#check();
    if (!this.#isStopped) {
      room.measure();
      this.#reclaimableBytes += trimmedBytes;
      if (this.#reclaimableBytes >= RECLAIM_BYTES) {
        this.#reclaimableBytes = 0;
        await this.#parts.settings.local.applyRetention();
      }
    }
    this.#isInRound = false;
    // What is confirmed may have to wait for its window.
    if (room.waitingAppends > 0 && !link.isAway) this.#isHurried = true;
    this.#schedule();
  }

  /** How many bytes were trimmed. */
  async #check(): Promise<number> {
    const { topics, settings } = this.#parts;
    const { local, clock } = settings;
    const before = local.ownBytes;
    const windowMs = this.#isTrimDue() ? this.windowMs : undefined;
    for (let at = 0; at < this.#all.length && !this.#isStopped; at += CHECKED_AT_ONCE)
      await Promise.all(this.#all.slice(at, at + CHECKED_AT_ONCE).map((forwarder) => forwarder.check(windowMs)));
    const trimmedBytes = Math.max(0, before - local.ownBytes);
    if (clock.monotonicMs() - this.#followedMs >= FOLLOW_MS && !this.#isStopped) {
      this.#followedMs = clock.monotonicMs();
      await topics.follow();
    }
    return trimmedBytes;
  }

  /** A trim is forced to the medium: not every round, unless there is little room. */
  #isTrimDue(): boolean {
    const { clock, windowMs } = this.#parts.settings;
    const nowMs = clock.monotonicMs();
    const isScarce = this.windowMs < windowMs;
    if (!isScarce && nowMs - this.#trimmedMs < Math.min(windowMs / TRIMS_PER_WINDOW, TRIM_MS_MAX)) return false;
    this.#trimmedMs = nowMs;
    return true;
  }

  async #look(): Promise<void> {
    for (let at = 0; at < this.#all.length; at += CHECKED_AT_ONCE)
      await Promise.all(this.#all.slice(at, at + CHECKED_AT_ONCE).map((forwarder) => forwarder.look()));
  }
}
