/**
 * Statements under a term, and whether their order in real time is right. A statement is an acknowledgement to a client, or a node's answer
 * that it is active. All clocks here are one, so that order is exact: what was asked after somebody had been answered under a newer term must
 * not be answered under an older one, however late answers travel.
 */

/** Statements of one kind of one speaker, one after the other, under the same term. Monotonic ms. */
export interface TermSpan {
  /** For people: `lines-1`, `node b`. */
  readonly speaker: string;
  readonly term: number;
  /** When the first of these answers had arrived. */
  firstAnsweredMs: number;
  lastAnsweredMs: number;
  /** When the last of these questions was sent. */
  lastAskedMs: number;
}

/** Adds a statement to a speaker's own list. Returns true if its term is not that of the one before. */
export function noteStatement(
  spans: TermSpan[],
  speaker: string,
  { term, askedMs, answeredMs }: { readonly term: number; readonly askedMs: number; readonly answeredMs: number },
): boolean {
  const span = spans.at(-1);
  if (span?.term !== term) {
    spans.push({ speaker, term, firstAnsweredMs: answeredMs, lastAnsweredMs: answeredMs, lastAskedMs: askedMs });
    return true;
  }
  span.lastAnsweredMs = answeredMs;
  span.lastAskedMs = Math.max(span.lastAskedMs, askedMs);
  return false;
}

/** Every speaker that spoke under an older term to a question that was asked after a newer term had spoken. */
export function staleStatements(spans: readonly TermSpan[]): string[] {
  const breaches: string[] = [];
  const newestFirst = spans.toSorted((x, y) => y.term - x.term);
  let newer: TermSpan | undefined;
  let pending: TermSpan | undefined;
  for (const span of newestFirst) {
    if (pending !== undefined && pending.term !== span.term) {
      if (newer === undefined || pending.firstAnsweredMs < newer.firstAnsweredMs) newer = pending;
      pending = undefined;
    }
    if (newer !== undefined && span.lastAskedMs > newer.firstAnsweredMs) {
      const lateMs = Math.round(span.lastAskedMs - newer.firstAnsweredMs);
      breaches.push(
        `STALE: ${span.speaker} was answered under term ${span.term}, asked ${lateMs} ms after ${newer.speaker} had been under term ${newer.term}`,
      );
    }
    if (pending === undefined || span.firstAnsweredMs < pending.firstAnsweredMs) pending = span;
  }
  return breaches;
}

/** A node says for the first time that it is active under a term. */
export interface Activation {
  /** One life of a node. */
  readonly holder: string;
  readonly term: number;
  readonly askedMs: number;
  readonly answeredMs: number;
}

/** At most one active per term, and terms rise: nobody becomes active under a term below one that was seen before it was asked. */
export function activationBreaches(activations: readonly Activation[]): string[] {
  const breaches: string[] = [];
  const holders = new Map<number, string>();
  let highest: Activation | undefined;
  for (const activation of activations.toSorted((x, y) => x.answeredMs - y.answeredMs)) {
    const { holder, term, askedMs } = activation;
    const first = holders.get(term);
    if (first !== undefined && first !== holder)
      breaches.push(`DOUBLE: ${first} and ${holder} were both active under term ${term}`);
    else if (highest !== undefined && term < highest.term && askedMs > highest.answeredMs)
      breaches.push(`TERM: ${holder} became active under term ${term} after ${highest.holder} under ${highest.term}`);
    holders.set(term, first ?? holder);
    if (highest === undefined || term > highest.term) highest = activation;
  }
  return breaches;
}

/**
 * Handlers of a node work while it is active: whose handlers worked, one after the other, must be who was active, one after the other. An old
 * active that goes on working shows as a turn too many.
 */
export function handlerTurnBreaches(turns: readonly string[], activeInOrder: readonly string[]): string[] {
  let at = 0;
  for (const [i, node] of turns.entries()) {
    const found = activeInOrder.indexOf(node, at);
    if (found === -1)
      return [`STALE: handlers of ${node} worked in turn ${i + 1} of ${turns.length}, when it was not active`];
    // It may be the same activation as before only if nobody else came between.
    at = found + 1;
  }
  return [];
}
