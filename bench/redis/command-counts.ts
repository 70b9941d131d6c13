/** What a Redis server was asked between two moments, by its own count. */
import type { ServerProcess } from '../../src/core/testing/redis-servers/server-process.ts';

/** Commands by which records are read; those that a function calls are counted too. */
const READS: readonly string[] = ['xrange', 'xrevrange', 'xread', 'xreadgroup'];

export interface CommandCounts {
  readonly calls: number;
  readonly reads: number;
  readonly bytesSent: number;
}

/** Of `commandstats` and `stats`; asking counts too. */
export async function commandCounts(server: ServerProcess): Promise<CommandCounts> {
  const stats = String(await server.call('INFO', 'commandstats'));
  const bytesSent = Number(await server.info('stats', 'total_net_output_bytes'));
  let calls = 0;
  let reads = 0;
  for (const [, name = '', count] of stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
    calls += Number(count);
    if (READS.includes(name)) reads += Number(count);
  }
  return { calls, reads, bytesSent };
}
