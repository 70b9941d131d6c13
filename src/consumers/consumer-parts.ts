import type { GroupStore, RecordStore, TopicCatalog } from '../core/contracts/engine.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { Clock } from '../core/ports/clock.ts';
import type { Random } from '../core/ports/random.ts';
import type { ConsumerConfig } from './consumer-config.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { Target } from './targets/target.ts';

/** What all consumers of a process share. */
export interface ConsumerParts {
  readonly store: RecordStore;
  readonly groups: GroupStore;
  readonly topics: TopicCatalog;
  readonly deadLetters: DeadLetters;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Errors: TANDEM_HANDLER_INVALID. */
  readonly loadTarget: (config: ConsumerConfig) => Promise<Target>;
}
