/** The program of a worker process. Started by a keeper only. */

import type { SecureContext } from 'node:tls';
import { pathToFileURL } from 'node:url';
import type { TandemConfig } from '../config/tandem-config.ts';
import { loadHandler } from '../consumers/targets/handler.ts';
import type { Health } from '../core/contracts/health.ts';
import type { Logger, MetricSample } from '../core/contracts/telemetry.ts';
import type { WorkerRuntime, WorkerSlot } from '../core/contracts/worker.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { runWorker, type WorkerBuilder } from '../supervisor/worker.ts';
import { logLevel } from '../telemetry/log-level.ts';
import { createLogger } from '../telemetry/logger.ts';
import { buildWorker } from './build-worker.ts';
import { ENGINES } from './engine-table.ts';
import type { PreparedEngine, RecoveredEngine } from './prepared-engine.ts';
import { loadSecureContexts } from './tls-files.ts';
import { warmUpWorker } from './warm-up-worker.ts';

/** After it was loaded: who gets a slot at once is not held up. */
const WARM_UP_DELAY_MS = 200;

class TandemWorker implements WorkerBuilder {
  #config: TandemConfig | undefined;
  #engine: PreparedEngine | undefined;
  readonly #taking = new AbortController();
  #secureContexts: readonly (SecureContext | undefined)[] = [];
  #recovered: { readonly slot: WorkerSlot; readonly recovered: RecoveredEngine; readonly logger: Logger } | undefined;

  async preload(given: unknown): Promise<void> {
    const config = given as TandemConfig;
    this.#config = config;
    this.#secureContexts = loadSecureContexts(config.listen);
    this.#engine = await ENGINES[config.engine.kind].prepare(config);
    await loadHandlers(config);
    setTimeout(() => void this.#warmUp(), WARM_UP_DELAY_MS).unref();
  }

  /** Only who waits for a slot: whoever has one has better things to do. */
  async #warmUp(): Promise<void> {
    const { signal } = this.#taking;
    if (!signal.aborted) await present(this.#engine).warmUp(signal);
    if (!signal.aborted) await warmUpWorker(present(this.#config), signal);
  }

  async open(slot: WorkerSlot): Promise<void> {
    this.#taking.abort();
    const logger = createLogger({ level: logLevel(), base: { worker: slot.slot, term: slot.slotTerm } });
    this.#recovered = { slot, recovered: await present(this.#engine).recover(slot, logger), logger };
  }

  metrics(): MetricSample[] {
    return this.#recovered?.recovered.metrics?.() ?? [];
  }

  async serve(nodeTerm: number, health: () => Health, pausedConsumers: readonly string[]): Promise<WorkerRuntime> {
    const config = present(this.#config);
    const secureContexts = this.#secureContexts;
    const { slot, recovered, logger } = present(this.#recovered);
    const engine = await recovered.open(nodeTerm);
    return buildWorker({ config, slot, nodeTerm, engine, logger, health, secureContexts, pausedConsumers });
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
