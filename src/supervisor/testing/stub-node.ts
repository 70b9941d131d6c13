/** A keeper process over stub workers, for tests of signals and of the keeper's own death. Options come as JSON in argv[2]. */
import { readFile } from 'node:fs/promises';
import type { LogFields, Logger } from '../../core/contracts/telemetry.ts';
import { Keeper } from '../keeper.ts';
import type { KeeperPlan } from '../plan.ts';
import { obeySignals } from '../signals.ts';

const print = (event: string, fields: LogFields = {}): void => console.log(JSON.stringify({ event, ...fields }));
const logger: Logger = { debug: print, info: print, warn: print, error: print };

/** The plan is read from this file at start and at each SIGHUP. */
const planPath = process.argv[2] as string;
const loadPlan = async (): Promise<KeeperPlan> => JSON.parse(await readFile(planPath, 'utf8')) as KeeperPlan;

let terms = 0;
const keeper = new Keeper({
  plan: await loadPlan(),
  workerEntry: new URL('./stub-worker.ts', import.meta.url),
  logger,
});
const ended = obeySignals(keeper, { loadPlan, stop: () => keeper.stop() }, logger);
try {
  keeper.start();
  await keeper.activate(++terms, { issueTerm: () => ++terms });
  print('ready', { status: keeper.status });
} catch (error) {
  print('start_failed', { code: (error as { code: string }).code, problem: (error as Error).message });
  process.exit(1);
}
process.exit(await ended);
