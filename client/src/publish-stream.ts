/**
 * The records of one topic under one producer id, in order, until they are acknowledged.
 *
 * One request is under way at a time, with all that waited when it left, up to the limits. Not several, because of what the server does with
 * a sequence that was left out before higher ones: it can never be stored any more. If a second request were under way while the first is
 * refused as a whole (one record of it too large, say), the first's other records would be lost. So too a refused or unanswered request is
 * simply sent again, from its first record, with the same sequences: the server stores each once.
 * A request that is refused for good is halved until the record that is to blame stands alone; only that one is rejected.
 *
 * Sequences need not be dense, and the records of one stream may go to several partitions (by their keys): the server keeps the last sequence
 * of a producer per partition, and each partition gets its part in rising order.
 */
import type { AckLevel, PublishReceipt } from './api.ts';
import { BackOff } from './back-off.ts';
import { clientError, type TandemClientError } from './errors.ts';

/** A record that waits; its JSON text is made once. */
export interface Waiting {
  readonly json: string;
  readonly sequence: number;
  /** performance.now() */
  readonly deadlineMs: number;
  readonly resolve: (receipt: PublishReceipt) => void;
  readonly reject: (error: TandemClientError) => void;
  isSettled: boolean;
}

export interface StreamOwner {
  readonly inFlightMax: number;
  /** The stream may have something to send. */
  ready(stream: PublishStream): void;
  /** A record is settled; so many characters need not be kept any more. */
  settled(jsonLength: number): void;
  /** The node has said that it is not the right one. */
  leave(error: TandemClientError): void;
}

/** The `result` of a publish. */
export interface PublishResult {
  readonly term: number;
  /** A node of an earlier version does not say. */
  readonly ack?: AckLevel;
  readonly receipts: readonly ResultReceipt[];
}

interface ResultReceipt {
  readonly epoch: string;
  readonly partition: number;
  readonly offset: number | null;
  readonly count: number;
  readonly isDuplicate?: boolean;
}

/** The whole request stays far below any server's limits.requestBytesMax, except if one record alone is larger. */
const REQUEST_CHARS_MAX = 1 << 20;
/** Answers that say: another node, not later. */
const ELSEWHERE: readonly string[] = ['TANDEM_DRAINING', 'TANDEM_TERM_FENCED'];
/** Settled records at the front are cut off when they are so many. */
const CUT_AT = 1024;

export class PublishStream {
  readonly topic: string;
  lastSequence = 0;
  readonly #head: string;
  readonly #owner: StreamOwner;
  readonly #backOff = new BackOff();
  #waiting: Waiting[] = [];
  /** Those before it are settled. */
  #start = 0;
  /** The request under way holds `#waiting[#start, #start + #sent)`. */
  #sent = 0;
  #sentChars = 0;
  #countMax: number;
  #pauseTimer: ReturnType<typeof setTimeout> | undefined;
  #deadlineTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(topic: string, producer: string, owner: StreamOwner) {
    this.topic = topic;
    this.#head = `{"topic":${JSON.stringify(topic)},"producer":${JSON.stringify(producer)},"sequence":`;
    this.#owner = owner;
    this.#countMax = owner.inFlightMax;
  }

  get isEmpty(): boolean {
    return this.#start === this.#waiting.length;
  }

  /** Size of the request under way; 0: there is none. */
  get sentChars(): number {
    return this.#sent === 0 ? 0 : this.#sentChars;
  }

  add(record: Waiting): void {
    this.lastSequence = record.sequence;
    this.#waiting.push(record);
    if (this.#deadlineTimer === undefined && record.deadlineMs !== Number.POSITIVE_INFINITY)
      this.#watchDeadline(record);
  }

  /** The parameters of the next `publish`, which is under way from now on; undefined: nothing to send now. */
  takeRequest(): string | undefined {
    if (this.#sent > 0 || this.#pauseTimer !== undefined) return undefined;
    this.#skipSettled();
    const first = this.#waiting[this.#start];
    if (first === undefined) return undefined;
    let records = first.json;
    let end = this.#start + 1;
    for (; end < this.#waiting.length && end - this.#start < this.#countMax; end++) {
      const next = this.#waiting[end] as Waiting;
      // A request's sequences have no gap, and who waits no more is not stored.
      if (next.isSettled || next.sequence !== first.sequence + end - this.#start) break;
      if (records.length + next.json.length > REQUEST_CHARS_MAX) break;
      records += `,${next.json}`;
    }
    this.#sent = end - this.#start;
    this.#sentChars = records.length;
    return `${this.#head}${first.sequence},"records":[${records}]}`;
  }

  // -------------------------------------------------------------- what became of the request under way

  /** False: the answer is for another number of records; nothing is settled. */
  stored({ term, ack, receipts }: PublishResult): boolean {
    if (receipts.reduce((sum, { count }) => sum + count, 0) !== this.#sent) return false;
    let at = this.#start;
    for (const { epoch, partition, offset, count, isDuplicate = false } of receipts)
      for (let i = 0; i < count; i++) {
        const place = offset === null ? null : offset + i;
        this.#resolve(this.#waiting[at++] as Waiting, {
          topic: this.topic,
          partition,
          offset: place,
          epoch,
          term,
          ack,
          isDuplicate,
        });
      }
    this.#start = at;
    this.#sent = 0;
    this.#countMax = Math.min(this.#owner.inFlightMax, this.#countMax * 2);
    this.#backOff.reset();
    this.#cut();
    this.#owner.ready(this);
    return true;
  }

  refused(error: TandemClientError): void {
    const count = this.#sent;
    this.#sent = 0;
    if (error.retryable) {
      if (ELSEWHERE.includes(error.code)) this.#owner.leave(error);
      else this.#sendLater(this.#backOff.next());
      return;
    }
    if (count > 1) {
      this.#countMax = count >> 1;
      this.#owner.ready(this);
      return;
    }
    this.#reject(this.#waiting[this.#start] as Waiting, error);
    // Whoever published it hears of it first, and can close the client before anything behind it is sent.
    this.#sendLater(0);
  }

  /** Nobody knows: it goes again when there is a link. */
  lost(): void {
    this.#sent = 0;
  }

  /** Everything that waits is rejected. */
  end(error: TandemClientError): void {
    clearTimeout(this.#pauseTimer);
    clearTimeout(this.#deadlineTimer);
    for (const record of this.#waiting) this.#reject(record, error);
    this.#waiting = [];
    this.#start = 0;
    this.#sent = 0;
  }

  // -------------------------------------------------------------- inside

  #sendLater(delayMs: number): void {
    this.#pauseTimer = setTimeout(() => {
      this.#pauseTimer = undefined;
      this.#owner.ready(this);
    }, delayMs);
  }

  #resolve(record: Waiting, receipt: PublishReceipt): void {
    if (record.isSettled) return;
    record.isSettled = true;
    this.#owner.settled(record.json.length);
    record.resolve(receipt);
  }

  #reject(record: Waiting, error: TandemClientError): void {
    if (record.isSettled) return;
    record.isSettled = true;
    this.#owner.settled(record.json.length);
    record.reject(error);
  }

  #skipSettled(): void {
    while (this.#waiting[this.#start]?.isSettled === true) this.#start++;
    this.#cut();
  }

  #cut(): void {
    if (this.#start === this.#waiting.length) this.#waiting = [];
    else if (this.#start >= CUT_AT) this.#waiting = this.#waiting.slice(this.#start);
    else return;
    this.#start = 0;
  }

  /** Records wait in the order of their deadlines: the first that waits has the next one. */
  #watchDeadline(record: Waiting): void {
    const waitMs = Math.max(0, record.deadlineMs - performance.now());
    this.#deadlineTimer = setTimeout(() => this.#expire(), waitMs);
  }

  #expire(): void {
    this.#deadlineTimer = undefined;
    const nowMs = performance.now();
    const late = this.#waiting.slice(this.#start).filter(({ deadlineMs }) => deadlineMs <= nowMs);
    for (const record of late) this.#reject(record, clientError('TANDEM_CLIENT_DEADLINE'));
    const next = this.#waiting.slice(this.#start).find(({ isSettled }) => !isSettled);
    if (next !== undefined) this.#watchDeadline(next);
  }
}
