/** A node on a Redis server: ingest against plain XADD, and what many subscriptions on two nodes cost the server. */
import { missingRedis } from '../src/core/testing/redis-servers/installed.ts';
import type { Bench } from './measure.ts';
import { INGEST, measureIngest } from './redis/ingest.ts';
import { measureSubscriptions, SUBSCRIPTIONS } from './redis/subscriptions.ts';

export const redisBench: Bench = async (say) => {
  const reason = missingRedis();
  if (reason !== false) {
    say(`SKIPPED: ${reason}`);
    return [];
  }
  return [...(await measureIngest(say, INGEST)), ...(await measureSubscriptions(say, SUBSCRIPTIONS))];
};
