/**
 * Wake-ups. A watched partition is armed on the server with the offset up to which its watchers were told; the next append that goes beyond takes the
 * arming away and sends one message to the shard's channel `wake`: so wake-ups cost at most one message per arming, however many appends there are.
 * Reads that come to the end arm in the same call. Where no read does so soon after a message, a call of its own does.
 *
 * What may be missed is caught: after a new connection, a new history or a new subscription all are told and armed anew; and a slow look now and
 * then tells of appends whose message never came.
 */
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { Clock, Timer } from '../../core/ports/clock.ts';
import type { LibraryShard } from './library-shard.ts';
import type { Partition } from './partitions.ts';

export interface WatchesOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly watchIntervalMs: number;
}

interface Watched {
  readonly partition: Partition;
  readonly wakes: Set<() => void>;
  /** Watchers were called after records below it had become readable. */
  told: number;
  /** The highest offset that a message named. */
  heard: number;
  /** The offset with which it is armed; -1: it is not. */
  armed: number;
  isArming: boolean;
  timer: Timer | undefined;
}

/** A read that arms is given so long after a message. */
const READ_MS = 10;
const RETRY_MS = 1000;
const CHANNEL = 'wake';

export class Watches {
  messages = 0;
  readonly #options: WatchesOptions;
  /** By the key of the log. */
  readonly #watched = new Map<string, Watched>();
  readonly #stops = new Map<LibraryShard, () => void>();
  #safety: Timer | undefined;
  #isClosed = false;

  constructor(options: WatchesOptions) {
    this.#options = options;
  }

  /** `wake` is called once soon and after appends. Returns the way to stop it. */
  add(partition: Partition, wake: () => void): () => void {
    // A function of its own, so that the same `wake` may be given twice.
    const own = (): void => wake();
    let watched = this.#watched.get(partition.keys[0]);
    if (watched === undefined) {
      watched = { partition, wakes: new Set(), told: 0, heard: 0, armed: -1, isArming: false, timer: undefined };
      this.#watched.set(partition.keys[0], watched);
      this.#follow(partition.shard);
      this.#arm(watched);
    }
    const { wakes } = watched;
    wakes.add(own);
    this.#options.clock.soon(() => {
      if (wakes.has(own)) own();
    });
    return () => this.#remove(partition, own);
  }

  isWatched({ keys }: Partition): boolean {
    return this.#watched.has(keys[0]);
  }

  /** A read has armed the partition with `offset`. */
  armed({ keys }: Partition, offset: number): void {
    const watched = this.#watched.get(keys[0]);
    if (watched !== undefined) this.#noteArmed(watched, offset);
  }

  close(): void {
    this.#isClosed = true;
    this.#safety?.cancel();
    for (const stop of this.#stops.values()) stop();
    for (const { timer, wakes } of this.#watched.values()) {
      timer?.cancel();
      wakes.clear();
    }
    this.#watched.clear();
  }

  #remove({ keys }: Partition, own: () => void): void {
    const watched = this.#watched.get(keys[0]);
    if (watched === undefined || !watched.wakes.delete(own) || watched.wakes.size > 0) return;
    watched.timer?.cancel();
    this.#watched.delete(keys[0]);
  }

  #follow(shard: LibraryShard): void {
    if (this.#stops.has(shard)) return;
    const stopListening = shard.subscribe(CHANNEL, (message) => {
      if (message === undefined) this.#startAnew(shard);
      else this.#hear(message.toString('latin1'));
    });
    const stopFollowing = shard.onReconnected(() => this.#startAnew(shard));
    this.#stops.set(shard, () => {
      stopListening();
      stopFollowing();
    });
    this.#safety ??= this.#options.clock.after(this.#options.watchIntervalMs, () => this.#look());
  }

  /** `<key of the log> <next offset>` */
  #hear(message: string): void {
    const blank = message.lastIndexOf(' ');
    const watched = this.#watched.get(message.slice(0, blank));
    if (watched === undefined) return;
    this.messages++;
    const next = Number(message.slice(blank + 1));
    watched.heard = Math.max(watched.heard, next);
    if (watched.armed < next) watched.armed = -1;
    this.#tell(watched, next);
    if (watched.armed < 0) this.#armLater(watched, READ_MS);
  }

  /** What the server knew of arming, and which offsets there are, may have changed. */
  #startAnew(shard: LibraryShard): void {
    for (const watched of this.#watched.values()) {
      if (watched.partition.shard !== shard) continue;
      Object.assign(watched, { told: 0, heard: 0, armed: -1 });
      this.#tell(watched, 0);
      this.#arm(watched);
    }
  }

  #look(): void {
    if (this.#isClosed) return;
    for (const watched of this.#watched.values()) this.#arm(watched);
    this.#safety = this.#options.clock.after(this.#options.watchIntervalMs, () => this.#look());
  }

  #tell(watched: Watched, offset: number): void {
    watched.told = Math.max(watched.told, offset);
    for (const wake of watched.wakes) wake();
  }

  #noteArmed(watched: Watched, offset: number): void {
    // A message that names a higher offset took this arming away, before its answer came.
    if (watched.heard > offset) return;
    watched.armed = offset;
    watched.timer?.cancel();
    watched.timer = undefined;
    // Somebody else may have read that far; the watchers were not called since.
    if (offset > watched.told) this.#tell(watched, offset);
  }

  #armLater(watched: Watched, delayMs: number): void {
    if (watched.timer !== undefined) return;
    watched.timer = this.#options.clock.after(delayMs, () => {
      watched.timer = undefined;
      this.#arm(watched);
    });
  }

  #arm(watched: Watched): void {
    if (watched.isArming || this.#watched.get(watched.partition.keys[0]) !== watched) return;
    watched.isArming = true;
    const { shard, keys } = watched.partition;
    shard.call('arm', keys, [String(watched.told)]).then(
      ([, next, isArmed]) => {
        watched.isArming = false;
        if (isArmed === 1) this.#noteArmed(watched, next as number);
        else {
          if ((next as number) > watched.told) this.#tell(watched, next as number);
          this.#armLater(watched, READ_MS);
        }
      },
      (error: unknown) => {
        watched.isArming = false;
        this.#options.logger.debug('redis_watch_not_armed', { error: String(error) });
        this.#armLater(watched, RETRY_MS);
      },
    );
  }
}
