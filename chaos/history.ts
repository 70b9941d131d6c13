/** What the clients of a drill saw: the evidence that the checker judges. Values are unique over the whole drill. */
export interface Place {
  readonly partition: number;
  /** -1: the server said that it is stored, but no longer knew where. */
  readonly offset: number;
}

export interface SourceHistory {
  readonly name: string;
  /** True: the source re-sends with a producer sequence until it is acknowledged, so each value must be stored exactly once. */
  readonly hasSequence: boolean;
  /** value -> place, in the order of sending. */
  readonly acked: Map<string, Place>;
  /** Sent, never answered: stored at most once, or not at all. Only of sources without sequence. */
  readonly uncertain: Set<string>;
}

export const sourceHistory = (name: string, hasSequence: boolean): SourceHistory => ({
  name,
  hasSequence,
  acked: new Map(),
  uncertain: new Set(),
});

/** A problem that a client itself noticed (a gap, a repeat, an answer that contradicts an earlier one). */
export type Complaint = string;
