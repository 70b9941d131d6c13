/**
 * The bounded way out of one session.
 *
 * The common case costs nothing: while the transport has taken everything, `offer` hands a shared buffer straight to it and nothing is kept
 * here. Once the transport holds bytes that the kernel has not taken, deliveries wait in a backlog per channel, within the channel's policy,
 * and go out in chunks each time the transport is empty, one channel after the other.
 *
 * Invariants: per channel, messages leave in the order in which they came; at most `queueBytesMax` of a channel and `sessionQueueBytesMax` of
 * all wait after `add` returns; besides, the transport holds at most one flush and one chunk of a replay. Nothing is dropped without a gap message,
 * except what a newer message of the same key replaces under `latest-per-key`.
 * Non-goals: order between channels.
 */
import type {
  ChannelPolicy,
  Delivery,
  SessionQueue,
  SessionQueues,
  SlowClientPolicy,
  Transport,
} from '../core/contracts/push.ts';
import type { MetricSample, MetricSource } from '../core/contracts/telemetry.ts';
import type { Limits } from '../core/limits.ts';
import { type Backlog, FifoBacklog, LatestBacklog } from './backlog.ts';

/** What goes to an empty transport at once. */
const CHUNK_BYTES = 64 * 1024;

class QueueCounters {
  open = 0;
  droppedRecords = 0;
  conflatedRecords = 0;
  slowSessions = 0;
}

export function createSessionQueues(limits: Pick<Limits, 'sessionQueueBytesMax'>): SessionQueues & MetricSource {
  const counters = new QueueCounters();
  return {
    open: (transport, onSlow) => new TransportQueue(transport, limits.sessionQueueBytesMax, counters, onSlow),
    metrics: () => samplesOf(counters),
  };
}

class TransportQueue implements SessionQueue {
  waitingBytes = 0;
  readonly #transport: Transport;
  readonly #bytesMax: number;
  readonly #counters: QueueCounters;
  readonly #onSlow: () => void;
  /** By channel; undefined while nothing waits. */
  #backlogs: Map<string, Backlog> | undefined;
  #waiter: (() => void) | undefined;
  #isArmed = false;
  #isClosed = false;

  constructor(transport: Transport, bytesMax: number, counters: QueueCounters, onSlow: () => void) {
    this.#transport = transport;
    this.#bytesMax = bytesMax;
    this.#counters = counters;
    this.#onSlow = onSlow;
    counters.open++;
  }

  offer(bytes: Buffer): boolean {
    if (this.#isClosed) return true;
    if (this.#backlogs !== undefined || this.#transport.bufferedBytes > 0) return false;
    this.#transport.write(bytes);
    return true;
  }

  add(delivery: Delivery, policy: ChannelPolicy): void {
    if (this.#isClosed) return;
    const backlog = this.#backlogOf(delivery, policy.policy);
    const bytesBefore = backlog.byteLength;
    this.#counters.conflatedRecords += backlog.add(delivery);
    this.waitingBytes += backlog.byteLength - bytesBefore;
    const bytesMax = this.#roomFor(backlog, policy);
    if (backlog.byteLength > bytesMax) this.#shrink(backlog, bytesMax, policy.policy);
    this.#arm();
  }

  get isWritable(): boolean {
    return this.#transport.bufferedBytes === 0;
  }

  whenWritable(callback: () => void): void {
    if (this.#isClosed) {
      callback();
      return;
    }
    this.#waiter = callback;
    this.#arm();
  }

  write(bytes: Buffer): void {
    if (!this.#isClosed) this.#transport.write(bytes);
  }

  handedPosition(channel: string): string | undefined {
    return this.#backlogs?.get(channel)?.handedPosition;
  }

  forget(channel: string): void {
    const backlog = this.#backlogs?.get(channel);
    if (backlog === undefined) return;
    this.waitingBytes -= backlog.byteLength;
    this.#backlogs?.delete(channel);
    if (this.#backlogs?.size === 0) this.#backlogs = undefined;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#counters.open--;
    this.waitingBytes = 0;
    this.#backlogs = undefined;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.();
  }

  #backlogOf(delivery: Delivery, policy: SlowClientPolicy): Backlog {
    this.#backlogs ??= new Map();
    let backlog = this.#backlogs.get(delivery.channel);
    if (backlog === undefined) {
      backlog = policy === 'latest-per-key' ? new LatestBacklog(delivery) : new FifoBacklog(delivery);
      this.#backlogs.set(delivery.channel, backlog);
    }
    return backlog;
  }

  #roomFor(backlog: Backlog, policy: ChannelPolicy): number {
    const others = this.waitingBytes - backlog.byteLength;
    return Math.max(0, Math.min(policy.queueBytesMax, this.#bytesMax - others));
  }

  #shrink(backlog: Backlog, bytesMax: number, policy: SlowClientPolicy): void {
    if (policy === 'drop-oldest') {
      const bytesBefore = backlog.byteLength;
      this.#counters.droppedRecords += backlog.dropOldest(bytesMax);
      this.waitingBytes += backlog.byteLength - bytesBefore;
      return;
    }
    this.#counters.slowSessions++;
    this.#onSlow();
    this.close();
  }

  #arm(): void {
    if (this.#isArmed || this.#isClosed) return;
    this.#isArmed = true;
    this.#transport.whenDrained(() => this.#onDrained());
  }

  /** A replay that waits has its chunk first, or a busy live channel would starve it. */
  #onDrained(): void {
    this.#isArmed = false;
    while (!this.#isClosed && this.#hasWork && this.#transport.bufferedBytes === 0) {
      const waiter = this.#waiter;
      this.#waiter = undefined;
      waiter?.();
      this.#writeBacklogs();
    }
    if (this.#hasWork) this.#arm();
  }

  /** A backlog stays here while anything waits in it, be it only a gap message. */
  get #hasWork(): boolean {
    return this.#waiter !== undefined || this.#backlogs !== undefined;
  }

  #writeBacklogs(): void {
    if (this.#isClosed || this.#backlogs === undefined) return;
    const pieces: Buffer[] = [];
    let room = CHUNK_BYTES;
    for (const [channel, backlog] of [...this.#backlogs]) {
      if (room <= 0) break;
      const bytesBefore = backlog.byteLength;
      room -= backlog.take(pieces, room, this.#transport.encoder);
      this.waitingBytes += backlog.byteLength - bytesBefore;
      // Last in the map is last in turn.
      this.#backlogs.delete(channel);
      if (!backlog.isEmpty) this.#backlogs.set(channel, backlog);
    }
    if (this.#backlogs.size === 0) this.#backlogs = undefined;
    if (pieces.length > 0) this.#transport.write(pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces));
  }
}

function samplesOf(counters: QueueCounters): MetricSample[] {
  const counter = (name: string, help: string, value: number): MetricSample => ({ name, kind: 'counter', help, value });
  return [
    { name: 'tandem_sessions_open', kind: 'gauge', help: 'Push sessions now', value: counters.open },
    counter(
      'tandem_sessions_dropped_records_total',
      'Records dropped for slow clients (drop-oldest)',
      counters.droppedRecords,
    ),
    counter(
      'tandem_sessions_conflated_records_total',
      'Waiting records replaced by a newer one of their key',
      counters.conflatedRecords,
    ),
    counter('tandem_sessions_slow_total', 'Sessions ended because the client was too slow', counters.slowSessions),
  ];
}
