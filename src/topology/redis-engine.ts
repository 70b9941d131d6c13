/**
 * What a worker has of a Redis store: the engine itself, or, with `ack: flushed`, that engine behind a spool, which is an embedded engine in the
 * node's own data folder. The spool is open as long as the worker has its slot, whether the node is active or not: what is in it is forwarded.
 */
import type { RedisEngineConfig, TandemConfig } from '../config/tandem-config.ts';
import type { EngineCapabilities } from '../core/contracts/engine.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { WorkerSlot } from '../core/contracts/worker.ts';
import { asTandemError, type TandemError } from '../core/errors.ts';
import { delay, systemClock } from '../core/ports/clock.ts';
import { systemRandom } from '../core/ports/random.ts';
import type { OpenedEngine, PreparedEngine, RecoveredEngine } from './prepared-engine.ts';

const CLAIM_AGAIN_MS = 50;
/** Of one that stands behind a spool. */
const CAPABILITIES: EngineCapabilities = {
  ...{ isDurable: true, isShared: true, provesDeath: false, reopens: true },
  takesOrigins: true,
  ack: 'stored',
};

/** `onFailed`: the spool's journal cannot go on. */
export async function prepareRedisEngine(
  config: TandemConfig,
  engine: RedisEngineConfig,
  onFailed: (error: TandemError) => void,
): Promise<PreparedEngine> {
  const { openRedisEngine } = await import('../engines/redis/redis-engine.ts');
  const replicas =
    engine.ack === 'replicated' ? { replicas: engine.replicas, waitMs: engine.replicaTimeoutMs } : undefined;
  const openRemote = ({ slot, slots }: WorkerSlot, logger: Logger): Promise<OpenedEngine> =>
    openRedisEngine({
      ...{ url: engine.url, slot, slots, logger, limits: config.limits, replication: replicas },
      // Its earlier process is gone before a slot is given away again.
      memberName: `${config.name}/${slot}`,
      sessionMs: config.cluster.ttlMs,
    });
  if (engine.ack === 'flushed') return prepareSpool(config, engine, openRemote, onFailed);
  return {
    recover: async (slot, logger) => ({
      open: async (nodeTerm) => claimed(config, await openRemote(slot, logger), nodeTerm),
    }),
    warmUp: () => Promise.resolve(),
  };
}

async function prepareSpool(
  config: TandemConfig,
  { spool }: RedisEngineConfig,
  openRemote: (slot: WorkerSlot, logger: Logger) => Promise<OpenedEngine>,
  onFailed: (error: TandemError) => void,
): Promise<PreparedEngine> {
  const { dataFolder: dataDir, limits, topicDefaults } = config;
  const { prepareEmbeddedEngine } = await import('../engines/embedded/embedded-engine.ts');
  const { openSpooledEngine } = await import('../engines/spooled/spooled-engine.ts');
  const { openPatiently } = await import('../engines/patient-engine.ts');
  const prepared = await prepareEmbeddedEngine({ dataDir, limits, hasFronts: false, onFailed });
  const { retentionMs, retentionBytes } = topicDefaults;
  return {
    async recover(slot, logger): Promise<RecoveredEngine> {
      const recovered = await prepared.recover({ slot, logger });
      const patient = { clock: systemClock, logger, capabilities: CAPABILITIES };
      const openSpool = async (): Promise<OpenedEngine> => {
        const local = await recovered.open();
        const remote = await openPatiently({ ...patient, open: () => openRemote(slot, logger) });
        const { bytesMax, windowMs, whenFull } = spool;
        return openSpooledEngine({
          ...{ local, remote, windowMs, whenFull, clock: systemClock, random: systemRandom, logger },
          bytesMax: Math.ceil(bytesMax / slot.slots),
          originId: `spool/${local.storeId}`,
          retentionOf: () => ({ retentionMs, retentionBytes }),
        });
      };
      // A standby forwards what it has left, so it does not wait until it serves; elsewhere the slots begin together.
      const opened = config.cluster.mode === 'active-standby' ? await openSpool() : undefined;
      return {
        open: async (nodeTerm) => claimed(config, opened ?? (await openSpool()), nodeTerm),
        metrics: () => opened?.metrics?.() ?? [],
      };
    },
    async warmUp(signal) {
      const { warmUp } = await import('../engines/embedded/warm-up.ts');
      await warmUp(signal);
    },
  };
}

/** Where one node is active at a time, what its workers write under its term is fenced by the store. */
async function claimed({ cluster }: TandemConfig, engine: OpenedEngine, nodeTerm: number): Promise<OpenedEngine> {
  if (cluster.mode !== 'active-standby') return engine;
  // A worker that ends because the server is away for a moment comes back later than one that waits for it.
  const untilMs = systemClock.monotonicMs() + cluster.ttlMs;
  for (;;) {
    try {
      await engine.claim(nodeTerm);
      return engine;
    } catch (thrown) {
      const error = asTandemError(thrown);
      if (error.code === 'TANDEM_STORE_UNREACHABLE' && systemClock.monotonicMs() < untilMs) {
        await delay(systemClock, CLAIM_AGAIN_MS);
        continue;
      }
      await engine.close();
      throw error;
    }
  }
}
