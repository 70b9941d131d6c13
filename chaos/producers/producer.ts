/** A client that sends unique values until it is told to stop, whatever happens to the server, and keeps what it was answered. */
import type { Complaint, SourceHistory } from '../history.ts';

export interface Producer {
  readonly history: SourceHistory;
  readonly complaints: Complaint[];
  /** Sends no new values; resolves when all that must be answered are. */
  stop(): Promise<void>;
}

/** Padding makes records of some size; the value before the '|' is what identifies. */
export const recordOf = (value: string): string => `${value}|${'.'.repeat(40)}`;
export const identityOf = (record: string): string => record.split('|', 1)[0] as string;

/** Sequence n of a source has this value. */
export const valueAt = (name: string, sequence: number): string => `${name}:${sequence}`;

/** Pause between attempts to connect. */
export const RECONNECT_MS = 20;
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
