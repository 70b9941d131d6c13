/** A listener turns bytes from sockets into records. The keeper binds the address and accepts; a worker's listener serves. */
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
