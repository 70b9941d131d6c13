/**
 * Looks for two active nodes, in what nodes and acks say. Each of the three finds some that the others do not:
 *
 * - Place. Within a partition, what was stored and acked under an older term must lie before all that was stored under a newer one. Exact,
 *   whenever the acks arrived. Repeats do not count: the newer active acks again what the older one had stored.
 * - Time. An ack under an older term must not come after one under a newer term. Acks that were on their way when the node died may still lie in
 *   this process's sockets, so it counts only after so many turns of the event loop that every socket must have been read.
 * - Roles. A node that is asked after another had answered as active under a newer term must not answer as active under an older one; and no two
 *   nodes answer as active under the same term.
 */

/** Turns of the event loop in which old acks may still be read. */
const TURNS_MAX = 20;

interface OffsetRange {
  first: number;
  last: number;
}

interface ActiveAnswer {
  readonly term: number;
  readonly node: string;
  /** When it was first answered. */
  readonly answeredMs: number;
}

export interface TermVerdict {
  /** Terms under which a node was active: how many, the first and the last; 0: none was seen. */
  readonly count: number;
  readonly first: number;
  readonly last: number;
  readonly doubleActive: number;
  /** The first few, for people. */
  readonly findings: readonly string[];
}

const FINDINGS_MAX = 10;

export class TermWatch {
  /** Highest term of an ack; 0: none yet. */
  highest = 0;
  #turnsUnderHighest = 0;
  readonly #seen = new Set<number>();
  /** Partition -> term -> offsets. */
  readonly #ranges = new Map<number, Map<number, OffsetRange>>();
  /** By term, rising. */
  readonly #actives: ActiveAnswer[] = [];
  #doubleActive = 0;
  readonly #findings: string[] = [];

  /** Call once in each turn of the event loop, or less often. */
  turn(): void {
    this.#turnsUnderHighest++;
  }

  /** Something was acked. */
  acked(term: number): void {
    if (term > this.highest) {
      this.highest = term;
      this.#turnsUnderHighest = 0;
      this.#seen.add(term);
    } else if (term < this.highest) {
      this.#seen.add(term);
      if (this.#turnsUnderHighest > TURNS_MAX)
        this.#found(`an ack under term ${term}, long after one under term ${this.highest}`);
    }
  }

  /** What the ack says about a record that was stored under the ack's term. */
  stored(term: number, partition: number, offset: number): void {
    let terms = this.#ranges.get(partition);
    if (terms === undefined) {
      terms = new Map();
      this.#ranges.set(partition, terms);
    }
    const range = terms.get(term);
    if (range === undefined) terms.set(term, { first: offset, last: offset });
    else {
      range.first = Math.min(range.first, offset);
      range.last = Math.max(range.last, offset);
    }
  }

  /** A node says that it is active. Monotonic ms: when it was asked, and when the answer came. */
  active(node: string, term: number, askedMs: number, answeredMs: number): void {
    const newer = this.#actives.findLast((each) => each.term > term && each.answeredMs <= askedMs);
    if (newer !== undefined)
      this.#found(`${node} is active under term ${term}, after ${newer.node} under ${newer.term}`);
    const same = this.#actives.find((each) => each.term === term);
    if (same === undefined) {
      this.#seen.add(term);
      this.#actives.push({ node, term, answeredMs });
      this.#actives.sort((a, b) => a.term - b.term);
    } else if (same.node !== node) this.#found(`${same.node} and ${node} are active under the same term ${term}`);
  }

  verdict(): TermVerdict {
    const findings = [...this.#findings];
    let doubleActive = this.#doubleActive;
    for (const [partition, terms] of this.#ranges) {
      const ranges = [...terms].sort(([a], [b]) => a - b);
      for (const [i, [term, { first }]] of ranges.entries()) {
        const older = ranges.slice(0, i).find(([, { last }]) => last >= first);
        if (older === undefined) continue;
        doubleActive++;
        const [olderTerm, { last }] = older;
        findings.push(
          `${partition}:${last} was stored under term ${olderTerm}, after ${partition}:${first} under ${term}`,
        );
      }
    }
    const count = this.#seen.size;
    const [first, last] = count === 0 ? [0, 0] : [Math.min(...this.#seen), Math.max(...this.#seen)];
    return { count, first, last, doubleActive, findings: findings.slice(0, FINDINGS_MAX) };
  }

  #found(text: string): void {
    this.#doubleActive++;
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(text);
  }
}
