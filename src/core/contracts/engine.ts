/**
 * The engine contract: what Tandem needs from a store. One suite (engines/conformance/) judges every engine by it.
 *
 * No driver type appears here; nothing speaks of files, sockets or transactions. What differs between engines is declared in
 * `EngineCapabilities`; nobody asks an engine for its name to decide anything.
 * All methods reject with TandemError only. After `close` every call rejects with TANDEM_DRAINING.
 */
import type { Position } from '../position.ts';
import type { OriginSequence, ProducerSequence, TopicPartition } from '../record.ts';
import type { RecordSet, StoredBatch } from '../record-set.ts';

export interface Engine {
  readonly capabilities: EngineCapabilities;
  readonly topics: TopicCatalog;
  readonly store: RecordStore;
  readonly groups: GroupStore;
  readonly leases: LeaseStore;
  /**
   * Raises the store's term, durably: from here on every write that needs the right to be active (append, commit, trim, claim of a partition,
   * pause) under an older term is refused (TANDEM_TERM_FENCED), and none that was not acknowledged by now is acknowledged later, whichever
   * process holds it. A new active claims before it reads. Idempotent for the same term; an older one than the current: TANDEM_TERM_FENCED.
   */
  claim(term: number): Promise<void>;
  /** Asks the live store who it is: name and version, e.g. `embedded 1`, `redis 7.0.15`. */
  identity(): Promise<string>;
  /** Finishes appends in hand, gives up leases and memberships. Idempotent. */
  close(): Promise<void>;
}

/**
 * What an append that resolved has reached, weakest first: the memory of this process; the medium of this machine (and, with a spool, later
 * the engine); a server, which keeps it as its own settings say; as many of its replicas as configured too.
 */
export type AckLevel = 'memory' | 'flushed' | 'stored' | 'replicated';

export interface EngineCapabilities {
  /** Acknowledged appends outlive the processes that made them, as far as `ack` says. False: only while the process lives. */
  readonly isDurable: boolean;
  /** Several processes may open the same data at once. */
  readonly isShared: boolean;
  /**
   * Leases end by release or with the process that holds them, as the kernel proves, and never by time-out (`ttlMs` means nothing). False: by
   * release or time-out, as the store judges.
   */
  readonly provesDeath: boolean;
  /** `close` and open again finds the data. */
  readonly reopens: boolean;
  /** Appends may have an `origin`. */
  readonly takesOrigins: boolean;
  /** Appends resolve before the records have places (a spool): `epoch` '' and `firstOffset` -1, and they are readable later. */
  readonly answersBeforePlaces?: true;
  readonly ack: AckLevel;
}

// ---------------------------------------------------------------- topics

export interface TopicInfo {
  readonly name: string;
  readonly partitions: number;
  /** Records older than this may be trimmed; null: never by age. */
  readonly retentionMs: number | null;
  /** Each partition keeps about this many bytes; null: no bound. */
  readonly retentionBytes: number | null;
}

export interface TopicCatalog {
  /** What this process knows now; undefined does not prove that the topic does not exist (use `ensure` or `list`). */
  peek(name: string): TopicInfo | undefined;
  /**
   * The topic, created if it does not exist, durable at return. Atomic and idempotent across processes. Partitions may grow, never
   * shrink: an existing topic keeps max(existing, wanted); retention is updated to what is given.
   * Errors: TANDEM_TOPIC_INVALID, TANDEM_TOPIC_LIMIT, TANDEM_DISK_FULL, TANDEM_STORE_FAILED.
   */
  ensure(topic: TopicInfo): Promise<TopicInfo>;
  /** The topic as the store has it, or undefined. */
  find(name: string): Promise<TopicInfo | undefined>;
  /** All topics, by name. */
  list(): Promise<readonly TopicInfo[]>;
}

// ---------------------------------------------------------------- records

export interface AppendBatch extends TopicPartition {
  /** The caller must not change it until the append settles. At most BATCH_BYTES_MAX of data (one larger record is taken alone) and BATCH_RECORDS_MAX records. */
  readonly set: RecordSet;
  /** Present: store each sequence at most once. The first record has `sequence`, the next ones count up. */
  readonly producer?: ProducerSequence;
  /**
   * Present: a log that is forwarded, record by record in order, and is sent again from `originSequence` on after a break. Sequences
   * at or below that are repeats. If the origin's last stored sequence is below `after`, something before the batch is missing (lost by a failover,
   * or refused just now): TANDEM_ORIGIN_GAP, decided in the same atomic step, so that appends may be called without waiting for each other.
   * Such appends carry no right: terms do not fence them. A producer beside it may fill gaps that its sequences left, since what it sent
   * through other origins may have come first; of its sequences only those that are known to be stored are repeats. Only where
   * capabilities.takesOrigins.
   */
  readonly origin?: OriginSequence;
  /** The term under which the caller writes; absent: the engine's own current one. */
  readonly term?: number;
}

/** Consecutive records of an append that were stored, or had been stored before (`isDuplicate`), from `firstOffset` on. */
export interface AppendedRun {
  readonly count: number;
  /** -1: not known: a duplicate whose place has left the de-duplication window, or a record on its way to the engine (a spool). */
  readonly firstOffset: number;
  readonly isDuplicate: boolean;
}

export interface AppendResult {
  readonly epoch: string;
  /** In the order of the batch; counts add up to the batch's. Mostly one. */
  readonly runs: readonly AppendedRun[];
}

export interface PartitionState {
  readonly epoch: string;
  /** The oldest offset that can be read. */
  readonly firstOffset: number;
  /** The offset that the next stored record gets. */
  readonly nextOffset: number;
}

export interface ReadResult extends PartitionState {
  /**
   * In order and without a gap from the asked offset; the first batch may begin before it. Empty only at the end of the partition.
   * Views are valid until the caller gives up the result (they are never reused).
   */
  readonly batches: readonly StoredBatch[];
}

export interface RecordStore {
  /**
   * Appends one batch. Atomic per batch: all records not seen before, or none. Offsets are dense, in order of the calls per partition and
   * process. Resolves only when the records are durable (as capable) and readable. With a producer: sequences at or below the last stored
   * one of that producer in that partition are not stored again; one known to have been left out
   * before higher ones is refused (TANDEM_PRODUCER_INVALID). Appends called in the same tick share one flush.
   * A rejected append may be repeated with the same producer and sequence. After a rejected append of a producer, later appends of the same
   * producer that were called before the rejection was known are rejected too (no holes).
   * Errors: TANDEM_TOPIC_UNKNOWN, TANDEM_PARTITION_UNKNOWN, TANDEM_BATCH_TOO_LARGE, TANDEM_DISK_FULL, TANDEM_STORE_FAILED,
   * TANDEM_OWNER_UNAVAILABLE, TANDEM_TERM_FENCED, TANDEM_PRODUCER_INVALID, TANDEM_ORIGIN_GAP.
   */
  append(batch: AppendBatch): Promise<AppendResult>;
  /**
   * Reads from `from.offset` at most about `bytesMax` of data, at least one batch if there is one. Only durable records are seen.
   * `from.epoch` '' means any; an earlier epoch will do where the store knows that nothing before `from.offset` changed with it. The answer has
   * the current one. Errors: TANDEM_POSITION_LOST (other epoch, or trimmed: data.firstOffset; data.commonOffset, where it is
   * known: up to there the asked epoch is the past of data.epoch), TANDEM_POSITION_AHEAD,
   * TANDEM_LOG_CORRUPT (data: { file, bytePosition, fromOffset, nextOffset }: the records between are lost), TANDEM_TOPIC_UNKNOWN,
   * TANDEM_PARTITION_UNKNOWN, TANDEM_OWNER_UNAVAILABLE (retry).
   */
  read(partition: TopicPartition, from: Position, bytesMax: number): Promise<ReadResult>;
  /** Where the partition begins and ends now. */
  state(partition: TopicPartition): Promise<PartitionState>;
  /**
   * Calls `wake` some time after records became readable, and once at the start; many appends may give one call. Never carries data; a
   * spurious call is allowed, a missing one is not, across owner restarts too. Returns the way to stop it.
   */
  watch(partition: TopicPartition, wake: () => void): () => void;
  /** Makes everything below `beforeOffset` unreadable and its space reclaimable. Does not stall appends. Returns the new first offset. */
  trim(partition: TopicPartition, beforeOffset: number): Promise<number>;
  /** The last stored sequence of a producer in a partition; 0 if none is known. */
  lastSequence(partition: TopicPartition, producerId: string): Promise<number>;
  /**
   * The last stored sequence of an origin in a partition, kept as long as the partition; 0 if none. Errors: TANDEM_INTERNAL where origins are
   * not taken.
   */
  originSequence(partition: TopicPartition, originId: string): Promise<number>;
  /**
   * Raises the partition's term: appends and commits that carry an older one are refused (TANDEM_TERM_FENCED) from here on, durably.
   * Claiming an older term than the current one rejects with TANDEM_TERM_FENCED. Idempotent for the same term.
   */
  claim(partition: TopicPartition, term: number): Promise<void>;
  /** Partitions of a topic to which this process appends without a detour; a hint, never empty for a known topic. */
  localPartitions(topic: string): readonly number[];
}

// ---------------------------------------------------------------- groups

export interface Assignment {
  readonly partition: number;
  /** Fences commits: after the partition has moved on, the older term is refused. */
  readonly term: number;
}

export type OnAssignments = (assignments: readonly Assignment[]) => void | Promise<void>;

export interface Membership {
  /** What this member works on now. */
  readonly assignments: readonly Assignment[];
  /** Gives all partitions back; resolves when others may have them. Idempotent. */
  leave(): Promise<void>;
}

export interface CommittedOffset {
  readonly partition: number;
  /** The next offset that the group wants. */
  readonly offset: number;
  readonly epoch: string;
}

export interface GroupStore {
  /**
   * Joins a group on a topic. Every partition is assigned to at most one live member at a time; while members live, to exactly one.
   * `onChange` is called (not before join resolves) whenever the assignments change; the member stops work on what is no longer its own. If
   * it answers with a promise, the work has stopped when that settles: a store that moves partitions waits for it, within bounds, before
   * somebody else has them.
   */
  join(group: string, topic: string, onChange: OnAssignments): Promise<Membership>;
  /**
   * Stores the committed offset. Survives kill -9 of any process; after power loss an older one may come back (delivery is at least once).
   * May go back (a replay) as well as forward. Errors: TANDEM_TERM_FENCED, TANDEM_DISK_FULL, TANDEM_STORE_FAILED.
   */
  commit(group: string, topic: string, offset: CommittedOffset, term: number): Promise<void>;
  /** What the group has committed on the topic; partitions never committed are absent. */
  committed(group: string, topic: string): Promise<readonly CommittedOffset[]>;
}

// ---------------------------------------------------------------- leases

export interface LeaseGrant {
  readonly name: string;
  /** One incarnation of a node, `name/incarnation`: a process that is started again is another holder. */
  readonly holder: string;
  /** Strictly increasing over all grants of all names in this store. */
  readonly term: number;
}

/** For whom a released lease is kept, and for how long, so that a planned transfer cannot be overtaken. A preference, never a proof. */
export interface LeaseReservation {
  readonly holder: string;
  readonly forMs: number;
}

export interface LeaseStore {
  /**
   * Grants the lease if it is free, released (and not reserved for another), ended (see EngineCapabilities.provesDeath), or already held by
   * `holder` through this store object (a new, higher term then too, and the older grant ends).
   * undefined: someone else holds it, or it is reserved. Durable at return.
   */
  acquire(name: string, holder: string, ttlMs: number): Promise<LeaseGrant | undefined>;
  /** Extends it by `ttlMs` from now, as the store's clock counts. False: it is no longer this grant's. */
  renew(grant: LeaseGrant, ttlMs: number): Promise<boolean>;
  /** Ends it now, if it is still this grant's, and reserves it if asked. */
  release(grant: LeaseGrant, reserveFor?: LeaseReservation): Promise<void>;
  /**
   * A term above all earlier ones of this store, issued only while `grant` is the lease's current one, in one atomic step; durable at return.
   * For what acts under the lease (workers). Errors: TANDEM_TERM_FENCED.
   */
  issueTerm(grant: LeaseGrant): Promise<number>;
  /** Who holds it now; undefined: nobody. */
  holder(name: string): Promise<LeaseGrant | undefined>;
}
