/** For `tandem doctor`: is everything that is stored readable, and what do the settings of the servers mean for it? */
import type { TandemConfig } from '../config/tandem-config.ts';

export interface StoredDataReport {
  readonly batches: number;
  readonly records: number;
  readonly bytes: number;
  readonly problems: readonly string[];
}

/** Reads all that the config's engine keeps on this machine. Changes nothing; the node may be running. */
export async function verifyStoredData(
  config: TandemConfig,
  onProgress?: (done: number, total: number) => void,
): Promise<StoredDataReport> {
  switch (config.engine.kind) {
    case 'memory':
      return { batches: 0, records: 0, bytes: 0, problems: [] };
    // With a server: the spool.
    case 'redis':
    case 'embedded': {
      const { verifyDataFolder } = await import('../engines/embedded/verify-data-folder.ts');
      return verifyDataFolder(config.dataFolder, onProgress);
    }
  }
}

/** A setting of a server and what it means; as the doctor's own checks. */
interface ServerCheck {
  readonly name: string;
  readonly server?: string;
  readonly result: 'ok' | 'warning' | 'failed';
  readonly finding: string;
  readonly advice?: string;
}

/** Asks the servers of the config's engine, if it has any. Changes nothing; never rejects because of a server. */
export async function* checkStoreServers({ engine, cluster }: TandemConfig): AsyncGenerator<ServerCheck> {
  if (engine.kind !== 'redis') return;
  const { checkServers } = await import('../engines/redis/server-checks/check-servers.ts');
  const { ack, replicas, spool, url } = engine;
  const { ttlMs, renewMs, marginMs } = cluster;
  const lease = cluster.mode === 'active-standby' ? { ttlMs, renewMs, marginMs } : null;
  yield* checkServers(url, { ack, replicas, windowMs: spool.windowMs, lease });
}
