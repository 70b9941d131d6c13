/** What one client that sends has seen: the answers, and under which terms they came. */
import { NumberList } from './number-list.ts';
import { noteStatement, type TermSpan } from './terms.ts';
import type { Values } from './values.ts';

export interface Place {
  readonly partition: number;
  /** -1: the server said that it is stored, but no longer knew where. */
  readonly offset: number;
}

/** Who has answered. */
export interface Answerer {
  /** The answer's, if it has one. */
  readonly term?: number | undefined;
  /** Of the source's route. */
  readonly node?: number;
}

export interface SourceOptions {
  readonly name: string;
  /** It re-sends with a producer sequence until it is acknowledged: each value must be stored exactly once. */
  readonly hasSequence: boolean;
  /** The network itself may double and overtake what it sends (datagrams through a bad network). */
  readonly mayRepeat?: boolean;
}

const OFFSETS = 2 ** 40;
const FORGOTTEN = -1;
const UNCERTAIN = -2;
const SEVERAL = -1;

export class SourceHistory {
  readonly name: string;
  readonly hasSequence: boolean;
  readonly mayRepeat: boolean;
  readonly terms: TermSpan[] = [];
  /** By sequence - 1: the place as one number, or one of the constants. */
  readonly #places = new NumberList();
  /** By sequence - 1: which node has answered, or was asked. */
  readonly #nodes = new NumberList();
  readonly #values: Values;
  #leftAt = 0;
  acked = 0;
  uncertain = 0;
  lastAckedMs = performance.now();
  /** Between two acknowledgements; set it to 0 to begin anew. */
  longestPauseMs = 0;
  /** The latest time at which an acknowledged record had been sent. */
  lastSentMs = 0;

  constructor({ name, hasSequence, mayRepeat = false }: SourceOptions, values: Values) {
    this.name = name;
    this.hasSequence = hasSequence;
    this.mayRepeat = mayRepeat;
    this.#values = values;
    values.add(name);
  }

  /** `sentMs`: when it was sent to who has answered. */
  ack(sequence: number, { partition, offset }: Place, sentMs: number, { term, node = 0 }: Answerer = {}): void {
    const ackedMs = performance.now();
    this.#places.set(sequence - 1, offset < 0 ? FORGOTTEN : partition * OFFSETS + offset);
    this.#nodes.set(sequence - 1, sequence <= this.#leftAt ? SEVERAL : node);
    this.acked++;
    this.longestPauseMs = Math.max(this.longestPauseMs, ackedMs - this.lastAckedMs);
    this.lastAckedMs = ackedMs;
    this.lastSentMs = Math.max(this.lastSentMs, sentMs);
    if (term !== undefined) noteStatement(this.terms, this.name, { term, askedMs: sentMs, answeredMs: ackedMs });
  }

  /** Sent and never answered: stored at most once, or not at all. */
  doubt(sequence: number, node = 0): void {
    this.#places.set(sequence - 1, UNCERTAIN);
    this.#nodes.set(sequence - 1, node);
    this.uncertain++;
  }

  /** undefined: never answered. */
  placeOf(sequence: number): Place | undefined {
    const place = this.#places.at(sequence - 1);
    if (place === FORGOTTEN) return { partition: -1, offset: -1 };
    if (place === UNCERTAIN || Number.isNaN(place)) return undefined;
    return { partition: Math.floor(place / OFFSETS), offset: place % OFFSETS };
  }

  /** Up to this sequence it has sent everything, to a node that it leaves: what that one has not answered goes to two. */
  leaveNode(sentMax: number): void {
    this.#leftAt = Math.max(this.#leftAt, sentMax);
  }

  /** Through which of the nodes it went; undefined: it was sent to several. */
  nodeOf(sequence: number): number | undefined {
    const node = this.#nodes.at(sequence - 1) || 0;
    return node === SEVERAL ? undefined : node;
  }

  get lastSequence(): number {
    return this.#places.length;
  }

  codeOf(sequence: number): number {
    return this.#values.code(this.name, sequence);
  }
}
