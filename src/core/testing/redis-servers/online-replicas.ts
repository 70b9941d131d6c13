import { until } from '../until.ts';
import type { ServerProcess } from './server-process.ts';

/** Resolves when as many replicas of this master are online. */
export async function untilReplicasOnline(master: ServerProcess, count: number): Promise<void> {
  if (count === 0) return;
  await until(`${count} replicas of ${master.address} are online`, async () => {
    const text = String(await master.call('INFO', 'replication'));
    return (text.match(/state=online/g) ?? []).length >= count;
  });
}
