/** What the supervisor needs from the inside of a worker process; built by topology/. */
import type { Socket as DatagramSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import type { MetricSource } from './telemetry.ts';

/** Which worker of the node this is. A slot outlives its processes: a new process for the same slot has a higher term. */
export interface WorkerSlot {
  /** It serves clients only, and reaches the partitions' owners in whichever node they are; `slot` is its number among its node's fronts. */
  readonly isFront: boolean;
  readonly slot: number;
  readonly slots: number;
  /** This process's term for the slot: above every earlier one. */
  readonly slotTerm: number;
}

export interface WorkerRuntime extends MetricSource {
  /** `listener` is the index in the config's `listen`. */
  accept(listener: number, socket: Socket): void;
  attach(listener: number, socket: DatagramSocket): void;
  readonly connections: number;
  /** Why the store takes no appends now; undefined: it does. */
  readonly storeProblem: string | undefined;
  /** How near it is to its limits: 0 (idle) to 1 (sockets are not read, or turned away). */
  readonly pressure: number;
  /** Answers admin requests that need this worker's state, e.g. `{ kind: 'groups' }`; the keeper merges the workers' answers. */
  admin(request: AdminRequest): Promise<unknown>;
  /** What would have to be finished now. */
  readonly load: DrainedLoad;
  /** Takes no more work, finishes what is in hand, moves clients on. Other workers may still use what it owns. */
  drain(deadlineMs: number): Promise<void>;
  /** After `drain`: closes the engine. */
  close(): Promise<void>;
}

export interface DrainedLoad {
  /** Received and not yet answered. */
  readonly records: number;
  /** Connections. */
  readonly clients: number;
}

export type AdminRequest =
  | { readonly kind: 'status' | 'topics' | 'consumers' | 'quiesce' | 'unquiesce' }
  | ConsumerCommand;

/** What an operator does with a consumer. A worker does it for the partitions that it works on. */
export type ConsumerCommand =
  | { readonly kind: 'pause' | 'resume'; readonly consumer: string }
  /** Only the worker that works on the partition obeys; the others answer TANDEM_PARTITION_UNKNOWN. No `toOffset`: past the damage. */
  | { readonly kind: 'skip'; readonly consumer: string; readonly partition: number; readonly toOffset?: number }
  /** `countMax` bounds the worker that is asked. */
  | { readonly kind: 'replay'; readonly consumer: string; readonly countMax: number };
