/**
 * Forwards one partition of the local log to the remote engine: in order, in batches as they are or several as one, some on the way at once, with the
 * origin of this log.
 *
 *   local log   firstOffset ........ confirmed ........ sent ........ endOffset
 *               kept for the window  on the way         not read yet
 *
 * The remote engine is asked where to begin (`originSequence`), and again after everything that was rejected: what was on the way then may be stored or
 * not. An append says what must be stored before it, so nothing is ever stored behind a hole: not behind a batch that was rejected while others followed
 * it, and not behind what a failover has lost. An origin's sequence is the local offset + 1. The origin is named by the epoch of the local partition
 * too: when the local log may have lost its end, its offsets are given again, and mean other records.
 *
 * What was confirmed is checked again by `check`, at least every round while it is kept, and trimmed only after a check that was made when its
 * window had passed. If the remote engine has lost some of it, it is sent again; what the local log has no more then is counted as lost, and logged.
 *
 * Non-goals: knowing what became of a batch whose append never settles; the remote engine must settle all of them.
 */
import type { AppendResult, PartitionState } from '../../core/contracts/engine.ts';
import { asTandemError, type ErrorCode, type TandemError } from '../../core/errors.ts';
import { delay } from '../../core/ports/clock.ts';
import type { TopicPartition } from '../../core/record.ts';
import type { StoredBatch } from '../../core/record-set.ts';
import type { ForwarderContext } from './forwarder-context.ts';
import { unitedBatches } from './united-batches.ts';

/** Read of the local log at once, about. */
const READ_BYTES = 256 * 1024;
/** Then those who wait for their acknowledgements have a turn: after an outage there is much to send, and small batches cost as much as large ones. */
const SENDS_PER_TURN = 32;
const BATCH_OVERHEAD_BYTES = 512;
/** After a rejection that is no outage, again and again; it is logged at first, and then about once a minute. */
const RETRY_MS = 50;
const RETRY_MS_MAX = 1000;
const RETRIES_PER_LOG_LINE = 60;

/** Rejections of an engine that answers: what is asked of it for other reasons may well succeed, so it is not away. */
const ANSWERS: ReadonlySet<ErrorCode> = new Set([
  'TANDEM_DISK_FULL',
  'TANDEM_STORE_FAILED',
  'TANDEM_ORIGIN_GAP',
  'TANDEM_TOPIC_UNKNOWN',
  'TANDEM_PARTITION_UNKNOWN',
]);

/** What a batch counts as on its way. */
const weightOf = ({ set }: Pick<StoredBatch, 'set'>): number => set.data.length + BATCH_OVERHEAD_BYTES;

interface Mark {
  readonly offset: number;
  readonly timeMs: number;
}

export class PartitionForwarder {
  readonly place: TopicPartition;
  readonly #context: ForwarderContext;
  #originId = '';
  #firstOffset = 0;
  #confirmed = 0;
  #sent = 0;
  #endOffset = 0;
  /** What is below can be read no more: trimmed, or damaged. */
  #readFrom = 0;
  /** Of the offsets above, those that were reached once: what is below was sent, confirmed, or lost before. */
  #sentOnce = 0;
  #confirmedOnce = 0;
  #lostBelow = 0;
  #oldestMs: number | undefined;
  /** What was confirmed by when; ascending. */
  #marks: Mark[] = [];
  #remoteEpoch = '';
  #needsSync = true;
  #failures = 0;
  /** Of these, refusals without an outage. */
  #refusals = 0;
  #inFlight = 0;
  #inFlightBytes = 0;
  #onAnswer: (() => void) | undefined;
  #isRunning = false;
  #isWoken = false;
  readonly #stopped = new AbortController();
  readonly #stopWatch: () => void;
  /** Where the log ended when this process began with it; undefined: that could not be read. */
  readonly #begunAt: Promise<number | undefined>;

  /** Begins at once. */
  constructor(place: TopicPartition, context: ForwarderContext) {
    this.place = place;
    this.#context = context;
    this.#begunAt = context.local.store.state(place).then(
      ({ nextOffset }) => nextOffset,
      () => undefined,
    );
    this.#stopWatch = context.local.store.watch(place, () => this.#wake());
  }

  /** Everything that the local log had when this was last looked at is confirmed. */
  get isDone(): boolean {
    return !this.#isRunning && this.#confirmed >= this.#endOffset;
  }
  get unconfirmedRecords(): number {
    return Math.max(0, this.#endOffset - this.#confirmed);
  }
  /** When the oldest record that is not confirmed was stored, about; undefined: all are. */
  get oldestMs(): number | undefined {
    return this.unconfirmedRecords === 0 ? undefined : this.#oldestMs;
  }
  get inFlight(): number {
    return this.#inFlight;
  }

  stop(): void {
    this.#stopWatch();
    this.#stopped.abort();
    this.#answered();
  }

  /** Looks where the local log ends now. Never rejects. */
  async look(): Promise<void> {
    try {
      const { nextOffset } = await this.#context.local.store.state(this.place);
      this.#reached(nextOffset);
    } catch {
      // It is closed, or its owner restarts: the next look tells.
    }
  }

  /** Checks that what was confirmed is still there, and trims what has been for `windowMs` (undefined: nothing). Never rejects. */
  async check(windowMs: number | undefined): Promise<void> {
    const { local, remote, clock, link, logger } = this.#context;
    const confirmed = this.#confirmed;
    if (this.#needsSync || confirmed <= this.#firstOffset) return;
    const nowMs = clock.monotonicMs();
    let stored: number;
    try {
      stored = await remote.store.originSequence(this.place, this.#originId);
    } catch (thrown) {
      if (!this.#needsSync) this.#failed(asTandemError(thrown));
      this.#wake();
      return;
    }
    if (this.#needsSync || this.#stopped.signal.aborted) return;
    link.succeeded();
    if (stored < confirmed) {
      this.#needsSync = true;
      this.#wake();
      return;
    }
    const due = windowMs === undefined ? undefined : this.#marks.findLast(({ timeMs }) => timeMs <= nowMs - windowMs);
    if (confirmed > (this.#marks.at(-1)?.offset ?? 0)) this.#marks.push({ offset: confirmed, timeMs: nowMs });
    if (due === undefined) return;
    this.#marks = this.#marks.filter(({ offset }) => offset > due.offset);
    try {
      this.#firstOffset = await local.store.trim(this.place, due.offset);
    } catch (thrown) {
      logger.warn('spool_not_trimmed', { ...this.place, problem: asTandemError(thrown).message });
      this.#marks.unshift(due);
    }
  }

  #wake(): void {
    this.#isWoken = true;
    if (this.#isRunning || this.#stopped.signal.aborted) return;
    this.#isRunning = true;
    // Who appended is answered first.
    this.#context.clock.soon(() => void this.#run());
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      this.#isWoken = false;
      try {
        const isIdle = this.#needsSync ? await this.#isEmpty() : !(await this.#forward());
        if (isIdle && !this.#isWoken) break;
        if (this.#needsSync && !isIdle) await this.#sync();
      } catch (thrown) {
        if (!signal.aborted) await this.#localFailed(asTandemError(thrown));
      }
    }
    this.#isRunning = false;
  }

  // -------------------------------------------------------------- where to go on

  /** Nothing is here: no need to ask before something comes. */
  async #isEmpty(): Promise<boolean> {
    const { firstOffset, nextOffset } = await this.#context.local.store.state(this.place);
    this.#reached(nextOffset);
    if (firstOffset < nextOffset) return false;
    this.#firstOffset = firstOffset;
    this.#confirmed = nextOffset;
    return true;
  }

  async #sync(): Promise<void> {
    const { local, link, clock, bringTopic } = this.#context;
    const { signal } = this.#stopped;
    while (this.#inFlight > 0 && !signal.aborted) await this.#nextAnswer();
    if (!link.isAway && this.#failures > 1)
      await delay(clock, Math.min(RETRY_MS * 2 ** (this.#failures - 2), RETRY_MS_MAX), signal);
    const state = await local.store.state(this.place);
    await link.up();
    if (signal.aborted) return;
    try {
      await bringTopic(this.place.topic);
      const stored = await this.#findOrigin(state);
      link.succeeded();
      this.#goOnAfter(stored, state.firstOffset);
    } catch (thrown) {
      this.#failed(asTandemError(thrown));
    }
  }

  /**
   * Names the origin, and tells its last stored sequence. One that is ahead of what this log can have sent is of a log that was put back to an earlier
   * state (a copy of the folder, say) and gives the same offsets to other records: then another origin begins, and stays. What was trimmed before is
   * not missed by that one.
   */
  async #findOrigin({ epoch, firstOffset, nextOffset }: PartitionState): Promise<number> {
    const { remote, originId, logger } = this.#context;
    const nameOf = (turn: number): string => `${originId}/${epoch}${turn === 0 ? '' : `/${turn}`}`;
    const storedOf = (turn: number): Promise<number> => remote.store.originSequence(this.place, nameOf(turn));
    const sentMax = Math.max((await this.#begunAt) ?? nextOffset, this.#sentOnce);
    let [stored, next] = await Promise.all([storedOf(0), storedOf(1)]);
    for (let turn = 0; ; turn++, [stored, next] = [next, await storedOf(turn + 1)]) {
      this.#originId = nameOf(turn);
      if (turn > 0 && stored === 0) this.#lostBelow = Math.max(this.#lostBelow, firstOffset);
      if (next === 0 && stored <= sentMax) return stored;
      if (next === 0) logger.error('spool_was_put_back', { ...this.place, nextOffset, forwardedOffset: stored });
    }
  }

  #goOnAfter(stored: number, firstOffset: number): void {
    const { counters, logger } = this.#context;
    if (stored < this.#confirmed && this.#confirmedOnce > 0)
      logger.warn('spool_sends_again', { ...this.place, fromOffset: stored, toOffset: this.#confirmed });
    const lostFrom = Math.max(stored, this.#lostBelow);
    if (lostFrom < firstOffset)
      this.#lost(lostFrom, firstOffset, 'the engine has lost what it had confirmed, and the spool keeps it no more');
    this.#lostBelow = Math.max(this.#lostBelow, firstOffset);
    this.#firstOffset = firstOffset;
    this.#readFrom = firstOffset;
    this.#confirmed = stored;
    this.#confirmedOnce = Math.max(this.#confirmedOnce, stored);
    this.#sentOnce = Math.max(this.#sentOnce, stored);
    this.#sent = stored;
    this.#marks = this.#marks.filter(({ offset }) => offset <= stored);
    this.#needsSync = false;
    counters.answeredMs = this.#context.clock.monotonicMs();
  }

  // -------------------------------------------------------------- the way

  /** False: there is nothing to do now. */
  async #forward(): Promise<boolean> {
    const { local, budget, inFlightBytesMax } = this.#context;
    const { signal } = this.#stopped;
    while (this.#inFlightBytes >= inFlightBytesMax && !this.#needsSync && !signal.aborted) await this.#nextAnswer();
    await budget.reserve(READ_BYTES);
    let reserved = READ_BYTES;
    try {
      if (this.#needsSync || signal.aborted) return true;
      const from = { epoch: '', offset: Math.max(this.#sent, this.#readFrom) };
      const { batches: read, nextOffset } = await local.store.read(this.place, from, READ_BYTES);
      const batches = unitedBatches(read);
      this.#reached(nextOffset);
      // A rejection may have come meanwhile; then it is asked first where to go on.
      if (this.#needsSync || signal.aborted) return true;
      const bytes = batches.reduce((sum, batch) => sum + weightOf(batch), 0);
      budget.correct(bytes - reserved);
      reserved = bytes;
      for (const [i, batch] of batches.entries()) {
        if (i > 0 && i % SENDS_PER_TURN === 0) await this.#nextTurn();
        if (this.#needsSync || signal.aborted) break;
        reserved -= weightOf(batch);
        this.#send(batch);
      }
      return batches.length > 0;
    } finally {
      budget.give(reserved);
    }
  }

  #send({ firstOffset, timeMs, producer, set }: StoredBatch): void {
    const { remote, clock, counters } = this.#context;
    const endOffset = firstOffset + set.count;
    const bytes = weightOf({ set });
    const place = { id: this.#originId, sequence: firstOffset + 1 };
    const origin = firstOffset > this.#sent ? { ...place, after: this.#sent } : place;
    if (this.#confirmed === this.#sent) this.#oldestMs = timeMs;
    counters.sentAgain += Math.max(0, Math.min(endOffset, this.#sentOnce) - Math.max(firstOffset, this.#sent));
    this.#sent = endOffset;
    this.#sentOnce = Math.max(this.#sentOnce, endOffset);
    if (this.#inFlight++ === 0) counters.answeredMs = Math.max(counters.answeredMs, clock.monotonicMs());
    this.#inFlightBytes += bytes;
    const batch = { ...this.place, set, origin };
    remote.store.append(producer === undefined ? batch : { ...batch, producer }).then(
      (result) => this.#stored(endOffset, timeMs, bytes, result),
      (thrown: unknown) => this.#rejected(bytes, asTandemError(thrown)),
    );
  }

  /** And so everything before it is. */
  #stored(endOffset: number, timeMs: number, bytes: number, { epoch }: AppendResult): void {
    const { counters, link, onSuspicion } = this.#context;
    counters.forwarded += Math.max(0, endOffset - this.#confirmedOnce);
    this.#confirmedOnce = Math.max(this.#confirmedOnce, endOffset);
    this.#confirmed = Math.max(this.#confirmed, endOffset);
    this.#oldestMs = timeMs;
    this.#failures = 0;
    this.#refusals = 0;
    link.succeeded();
    if (epoch !== this.#remoteEpoch && this.#remoteEpoch !== '') onSuspicion();
    this.#remoteEpoch = epoch;
    this.#settled(bytes);
  }

  #rejected(bytes: number, error: TandemError): void {
    // One of those that were on the way together tells enough.
    if (!this.#needsSync) this.#failed(error);
    this.#settled(bytes);
  }

  #settled(bytes: number): void {
    const { budget, counters, clock } = this.#context;
    this.#inFlight--;
    this.#inFlightBytes -= bytes;
    counters.answeredMs = clock.monotonicMs();
    budget.give(bytes);
    this.#answered();
    if (this.#needsSync) this.#wake();
  }

  // -------------------------------------------------------------- what goes wrong

  /** A call of the remote engine was rejected: it is asked again where to go on. */
  #failed(error: TandemError): void {
    const { link, logger, forgetTopic, remote } = this.#context;
    const { code } = error;
    this.#needsSync = true;
    if (this.#stopped.signal.aborted) return;
    this.#failures++;
    if (error.retryable && !ANSWERS.has(code)) {
      link.failed(error, (hint) => remote.store.watch(this.place, hint));
      return;
    }
    link.succeeded();
    if (code === 'TANDEM_ORIGIN_GAP') logger.warn('spool_origin_gap', { ...this.place, problem: error.message });
    else if (code === 'TANDEM_TOPIC_UNKNOWN' || code === 'TANDEM_PARTITION_UNKNOWN') forgetTopic(this.place.topic);
    else if (this.#refusals++ % RETRIES_PER_LOG_LINE === 0)
      logger.error('spool_batch_refused', { ...this.place, code, problem: error.message, fromOffset: this.#confirmed });
  }

  /** The local log could not be read. What is damaged is passed over, and counted. */
  async #localFailed(error: TandemError): Promise<void> {
    const { clock, logger } = this.#context;
    const { nextOffset } = error.data ?? {};
    if (error.code === 'TANDEM_LOG_CORRUPT' && typeof nextOffset === 'number') {
      const from = Math.max(this.#sent, this.#readFrom, this.#lostBelow);
      if (from < nextOffset) this.#lost(from, nextOffset, 'the spool is damaged here');
      this.#lostBelow = Math.max(this.#lostBelow, nextOffset);
      this.#readFrom = nextOffset;
      return;
    }
    if (error.code === 'TANDEM_POSITION_LOST') this.#needsSync = true;
    logger.warn('spool_not_read', { ...this.place, code: error.code, problem: error.message });
    await delay(clock, RETRY_MS, this.#stopped.signal).catch(() => {});
  }

  #lost(fromOffset: number, toOffset: number, reason: string): void {
    this.#context.counters.lost += toOffset - fromOffset;
    this.#context.logger.error('spool_records_lost', { ...this.place, fromOffset, toOffset, reason });
  }

  #reached(nextOffset: number): void {
    if (nextOffset > this.#endOffset && this.#confirmed >= this.#endOffset)
      this.#oldestMs = this.#context.clock.nowMs();
    this.#endOffset = Math.max(this.#endOffset, nextOffset);
  }

  #nextAnswer(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onAnswer = resolve;
    return promise;
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#context.clock.soon(resolve));
  }

  #answered(): void {
    this.#onAnswer?.();
    this.#onAnswer = undefined;
  }
}
