/**
 * What one node does for all that share a data folder, whoever is active: ends the processes that dead nodes have left behind, hung or stopped, and
 * removes their entries. A node that takes over does it too, before it serves; this is for nodes that die without being active.
 */
import { Duty } from '../cluster/duty.ts';
import type { LeaseTimers } from '../cluster/lease-timers.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError } from '../core/errors.ts';
import { delay, systemClock } from '../core/ports/clock.ts';
import { systemRandom } from '../core/ports/random.ts';
import type { NodeStore } from './node-store.ts';

const ROUND_MS = 2000;

export function housekeeping(store: NodeStore, timers: LeaseTimers, logger: Logger): Duty {
  const { folderLeases: leases, holder } = store;
  const run = async (_grant: unknown, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await store.endDead().catch((error: unknown) => {
        logger.warn('dead_nodes_not_ended', { problem: asTandemError(error).message });
      });
      await delay(systemClock, ROUND_MS, signal).catch(() => {});
    }
  };
  const ports = { clock: systemClock, random: systemRandom, logger };
  return new Duty({ name: 'housekeeping', leases, provesDeath: true, holder, timers, ...ports, run });
}
