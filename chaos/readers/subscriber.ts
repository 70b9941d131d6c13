/** A client that reads a topic from its start and resumes after each loss, whatever happens to the server. */
import type { PartitionWatch, WatchOptions } from '../evidence/partition-watch.ts';
import type { Values } from '../evidence/values.ts';
import type { Route } from '../producers/route.ts';

export interface Subscriber {
  readonly watch: PartitionWatch;
  stop(): Promise<void>;
}

export interface SubscriberOptions {
  readonly name: string;
  /** Of the HTTP listener, or of a bad network before it; or the listeners of several nodes. */
  readonly port: number | Route;
  readonly values: Values;
  readonly watch?: WatchOptions;
}

/** Nothing came for so long: the connection is given up. There is always load while a drill runs. */
export const SILENCE_MS = 5000;

export const GAP = 'records were missed, though nothing was trimmed';
export const CANNOT_RESUME = 'cannot resume, though nothing was trimmed';
