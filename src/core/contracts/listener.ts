/**
 * A listener turns bytes into records. Of those with an address the keeper binds it and accepts, and a worker's listener serves; a source fetches
 * from elsewhere.
 */
import type { Socket as DatagramSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import type { MetricSource } from './telemetry.ts';

export interface StreamListener extends MetricSource {
  /** Serves one accepted, paused connection until it ends. Never throws. */
  accept(socket: Socket): void;
  readonly connections: number;
  /** Takes no more input, answers what is in hand, then closes connections; forcibly at the deadline. */
  drain(deadlineMs: number): Promise<void>;
}

export interface DatagramListener extends MetricSource {
  attach(socket: DatagramSocket): void;
  drain(deadlineMs: number): Promise<void>;
}

/** Nobody connects to it: it fetches records from where others put them. Each worker with a slot has its own, and they share the work. */
export interface SourceListener extends MetricSource {
  /** Begins, and goes on through whatever happens. Once. */
  start(): void;
  /** Fetches no more; resolves when what it fetched is stored and crossed off where it came from, at the latest at the deadline. */
  drain(deadlineMs: number): Promise<void>;
}
