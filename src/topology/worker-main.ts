/** The program of a worker process. Started by a keeper only. */

import type { SecureContext } from 'node:tls';
import { pathToFileURL } from 'node:url';
import type { TandemConfig } from '../config/tandem-config.ts';
import { loadHandler } from '../consumers/targets/handler.ts';
import type { Health } from '../core/contracts/health.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { WorkerRuntime, WorkerSlot } from '../core/contracts/worker.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { runWorker, type WorkerBuilder } from '../supervisor/worker.ts';
import { logLevel } from '../telemetry/log-level.ts';
import { createLogger } from '../telemetry/logger.ts';
import { buildWorker } from './build-worker.ts';
import { ENGINES, type OpenEngine, type OpenedEngine } from './engine-table.ts';
import { loadSecureContexts } from './tls-files.ts';

/** After it was loaded: who gets a slot at once is not held up. */
const WARM_UP_DELAY_MS = 200;

class TandemWorker implements WorkerBuilder {
  #config: TandemConfig | undefined;
  #openEngine: OpenEngine | undefined;
  #hasSlot = false;
  #secureContexts: readonly (SecureContext | undefined)[] = [];
  #opened: { readonly slot: WorkerSlot; readonly engine: OpenedEngine; readonly logger: Logger } | undefined;

  async preload(given: unknown): Promise<void> {
    const config = given as TandemConfig;
    this.#config = config;
    this.#secureContexts = loadSecureContexts(config.listen);
    this.#openEngine = await ENGINES[config.engine].load();
    await loadHandlers(config);
    setTimeout(() => void this.#warmUp(config), WARM_UP_DELAY_MS).unref();
  }

  /** Only a spare: whoever has a slot has better things to do. */
  async #warmUp({ engine }: TandemConfig): Promise<void> {
    if (!this.#hasSlot) await ENGINES[engine].warmUp();
  }

  async open(slot: WorkerSlot): Promise<void> {
    this.#hasSlot = true;
    const config = present(this.#config);
    const logger = createLogger({ level: logLevel(), base: { worker: slot.slot, term: slot.slotTerm } });
    this.#opened = { slot, engine: await present(this.#openEngine)(config, slot, logger), logger };
  }

  serve(health: () => Health, pausedConsumers: readonly string[]): Promise<WorkerRuntime> {
    const config = present(this.#config);
    const secureContexts = this.#secureContexts;
    return buildWorker({ ...present(this.#opened), config, health, secureContexts, pausedConsumers });
  }
}

/** Imports every handler module, so that a broken one is known before the worker has a slot. Errors: TANDEM_HANDLER_INVALID naming all. */
async function loadHandlers({ consumers }: TandemConfig): Promise<void> {
  const loadModule = (path: string): Promise<unknown> => import(pathToFileURL(path).href);
  const results = await Promise.allSettled(
    consumers.map(async ({ name, target }) => {
      if (target.kind === 'handler') await loadHandler({ name, to: target.modulePath, loadModule });
    }),
  );
  const problems = results.flatMap((result) =>
    result.status === 'rejected' ? [asTandemError(result.reason, 'TANDEM_HANDLER_INVALID').message] : [],
  );
  if (problems.length > 0) throw new TandemError('TANDEM_HANDLER_INVALID', { detail: problems.join('; ') });
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new TandemError('TANDEM_INTERNAL', { detail: 'a step of the worker was left out' });
  return value;
}

runWorker(new TandemWorker(), createLogger({ level: logLevel(), base: { worker: 'starting' } }));
