/** What of the config the keeper works by, and what of it can change while it runs. */
import type { ListenConfig, TandemConfig } from '../config/tandem-config.ts';
import { TandemError } from '../core/errors.ts';
import type { KeeperPlan } from '../supervisor/plan.ts';
import { hasFronts } from './engine-table.ts';

export function planOf(config: TandemConfig): KeeperPlan {
  const listen = config.listen.map(({ protocol, host, port, url }: ListenConfig) => {
    return { transport: protocol === 'udp' ? 'datagram' : 'stream', host, port, url } as const;
  });
  return { hasFronts: hasFronts(config), listen, workers: config.workers, config };
}

/** What the keeper itself runs with cannot change while it runs. Errors: TANDEM_CONFIG_INVALID naming every such change. */
export function checkReload(old: TandemConfig, next: TandemConfig): TandemConfig {
  const changed: string[] = [];
  const compare = (key: string, a: unknown, b: unknown): void => {
    if (JSON.stringify(a) !== JSON.stringify(b)) changed.push(key);
  };
  compare('name', old.name, next.name);
  compare('data', old.dataFolder, next.dataFolder);
  compare('engine', old.engine, next.engine);
  compare('cluster', old.cluster, next.cluster);
  compare('admin', old.admin, next.admin);
  compare('workers.count', old.workers.count, next.workers.count);
  if (changed.length > 0)
    throw new TandemError('TANDEM_CONFIG_INVALID', { detail: `changed, but needs a restart: ${changed.join(', ')}` });
  return next;
}
