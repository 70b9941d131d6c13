/** What signals mean to a node. SIGTERM, SIGINT: drain; a second one: at once. SIGHUP: load the configuration again. */
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError } from '../core/errors.ts';
import type { Keeper } from './keeper.ts';
import type { KeeperPlan } from './plan.ts';

const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;

export interface SignalActions {
  readonly loadPlan: () => Promise<KeeperPlan>;
  /** In order. */
  readonly stop: () => Promise<void>;
}

/** Resolves with the exit code once the node has stopped: 0 after a drain, 128 + signal if it was cut short. */
export function obeySignals(keeper: Keeper, { loadPlan, stop }: SignalActions, logger: Logger): Promise<number> {
  process.on('SIGHUP', () => void reload(keeper, loadPlan, logger));
  return new Promise((resolve) => {
    let isStopping = false;
    const onStop = (signal: 'SIGINT' | 'SIGTERM'): void => {
      if (isStopping) {
        logger.warn('stopping_at_once', { signal });
        keeper.stopNow(`second ${signal}`);
        resolve(128 + SIGNAL_NUMBERS[signal]);
        return;
      }
      isStopping = true;
      logger.info('stopping', { signal, hint: 'once more to stop at once' });
      stop().then(
        () => resolve(0),
        (error: unknown) => {
          logger.error('stop_failed', { problem: String(error) });
          resolve(1);
        },
      );
    };
    process.on('SIGINT', onStop);
    process.on('SIGTERM', onStop);
  });
}

async function reload(keeper: Keeper, loadPlan: () => Promise<KeeperPlan>, logger: Logger): Promise<void> {
  logger.info('reloading');
  try {
    await keeper.reload(await loadPlan());
    logger.info('reloaded', { generation: keeper.status.generation });
  } catch (thrown) {
    const { code, message, hint, data } = asTandemError(thrown);
    logger.error('reload_refused', { code, problem: message, hint, ...data, consequence: 'keeps running as before' });
  }
}
