/** A client that reads a topic from its start and resumes after each loss, whatever happens to the server. */
import type { PartitionWatch } from '../evidence/partition-watch.ts';
import type { Values } from '../evidence/values.ts';

export interface Subscriber {
  readonly watch: PartitionWatch;
  stop(): Promise<void>;
}

export interface SubscriberOptions {
  readonly name: string;
  /** Of the HTTP listener, or of a bad network before it. */
  readonly port: number;
  readonly values: Values;
}

/** Nothing came for so long: the connection is given up. There is always load while a drill runs. */
export const SILENCE_MS = 5000;

export const CANNOT_RESUME = 'cannot resume, though nothing was trimmed';
