/** For `tandem doctor`: is everything that is stored readable? */
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
