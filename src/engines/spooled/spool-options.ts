/** What a spool is made of. */
import type { Engine, TopicInfo } from '../../core/contracts/engine.ts';
import type { SpoolLog } from '../../core/contracts/spool-log.ts';
import type { Logger, MetricSource } from '../../core/contracts/telemetry.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { systemClock } from '../../core/ports/clock.ts';
import type { Random } from '../../core/ports/random.ts';
import { systemRandom } from '../../core/ports/random.ts';

export interface SpoolOptions {
  /** On this machine. From here on it is the spool's own, and so is `remote`. */
  readonly local: SpoolLog & Partial<MetricSource>;
  /** Must take origins. */
  readonly remote: Engine & Partial<MetricSource>;
  /** Names the local store for ever, and no other: `spool/<store id>`. At most 100 characters. */
  readonly originId: string;
  /** What the remote engine has confirmed is kept for so long, to be sent again if a failover has lost it. */
  readonly windowMs?: number;
  /** The window gets shorter when more than half of `bytesMax` is in use, down to this. */
  readonly windowMinMs?: number;
  /** What the partitions of this process may hold. The disk may have twice as much, until what is trimmed is given back. */
  readonly bytesMax?: number;
  /** Above `bytesMax`. wait: appends wait for room. refuse: TANDEM_SPOOL_FULL. */
  readonly whenFull?: 'wait' | 'refuse';
  /** On the way to the remote engine, over all partitions. */
  readonly inFlightBytesMax?: number;
  /** How often what was confirmed is checked, and trimmed. */
  readonly roundMs?: number;
  /** `close` goes on forwarding for so long, if the remote engine answers. */
  readonly drainMs?: number;
  /** For a topic that was made while the remote engine was away, by a process that is no more. */
  readonly retentionOf?: (topic: string) => Pick<TopicInfo, 'retentionMs' | 'retentionBytes'>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

const MIB = 1024 * 1024;

const DEFAULT_SPOOL = {
  windowMs: 60_000,
  windowMinMs: 10_000,
  bytesMax: 1024 * MIB,
  whenFull: 'wait',
  inFlightBytesMax: 16 * MIB,
  roundMs: 1000,
  drainMs: 2000,
  retentionOf: () => ({ retentionMs: null, retentionBytes: null }),
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
} as const satisfies Partial<SpoolOptions>;

export type SpoolSettings = Required<SpoolOptions>;

export function settingsOf(options: SpoolOptions): SpoolSettings {
  const settings = { ...DEFAULT_SPOOL, ...options };
  return { ...settings, windowMinMs: Math.min(settings.windowMinMs, settings.windowMs) };
}
