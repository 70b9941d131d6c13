/** What an embedded engine is opened with. */

import type { Logger } from '../../core/contracts/telemetry.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import type { WorkerSlot } from '../../core/contracts/worker.ts';
import type { TandemError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { systemClock } from '../../core/ports/clock.ts';
import type { Disk } from '../../core/ports/disk.ts';
import { systemDisk } from '../../core/ports/disk.ts';
import type { Random } from '../../core/ports/random.ts';
import { systemRandom } from '../../core/ports/random.ts';
import type { TrailPace } from './log/segment-trail.ts';
import { TRAIL_PACE } from './log/segment-trail.ts';

/** What needs no slot. */
export interface PrepareOptions {
  readonly dataDir: string;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly disk?: Disk;
  readonly logger?: Logger;
  readonly limits?: Limits;
  readonly segmentBytes?: number;
  readonly trailPace?: TrailPace;
  /** How often retention is applied and topics of other processes are looked for. */
  readonly retentionIntervalMs?: number;
  readonly topicsIntervalMs?: number;
  /** How long to wait for an earlier process of the slot to end. */
  readonly lockWaitMs?: number;
  /** Processes without a slot reach this one (front-engine.ts). */
  readonly hasFronts?: boolean;
  /** Segments that a dead process has left are sealed so long after the opening. */
  readonly sealDelayMs?: number;
  /** The journal has failed for good: this process should end, so that another one recovers it. */
  readonly onFailed?: (error: TandemError) => void;
}

export interface TakeOptions {
  readonly slot: Pick<WorkerSlot, 'slot' | 'slots' | 'slotTerm'>;
  /** Instead of the one that was prepared with: it knows the slot. */
  readonly logger?: Logger;
}

export type EmbeddedEngineOptions = PrepareOptions & TakeOptions;

const MIB = 1024 * 1024;
export const DEFAULT_SETTINGS = {
  clock: systemClock,
  random: systemRandom,
  disk: systemDisk,
  logger: silentLogger,
  limits: DEFAULT_LIMITS as Limits,
  segmentBytes: 64 * MIB,
  trailPace: TRAIL_PACE,
  retentionIntervalMs: 10_000,
  topicsIntervalMs: 500,
  lockWaitMs: 10_000,
  hasFronts: false,
  sealDelayMs: 500,
  onFailed: (_error: TandemError): void => {},
};

export type PreparedSettings = typeof DEFAULT_SETTINGS & PrepareOptions;
export type Settings = PreparedSettings & TakeOptions;
