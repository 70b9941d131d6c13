/** What the forwarders of a spool share. */
import type { Engine } from '../../core/contracts/engine.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { InFlightBudget } from './in-flight-budget.ts';
import type { RemoteLink } from './remote-link.ts';

/** Of all partitions of a spool. */
export interface SpoolCounters {
  forwarded: number;
  sentAgain: number;
  lost: number;
  /** When the remote engine last settled an append. */
  answeredMs: number;
}

export interface ForwarderContext {
  readonly local: Engine;
  readonly remote: Engine;
  readonly originId: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly link: RemoteLink;
  readonly budget: InFlightBudget;
  readonly inFlightBytesMax: number;
  readonly counters: SpoolCounters;
  /** The topic exists at the remote engine, with all its partitions. */
  readonly bringTopic: (topic: string) => Promise<void>;
  /** It did not, after all. */
  readonly forgetTopic: (topic: string) => void;
  /** Something looks as if the remote engine had failed over: check soon. */
  readonly onSuspicion: () => void;
}
