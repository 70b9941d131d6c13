import { after, before } from 'node:test';
import { type StartedRedis, startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { redisHarness } from '../conformance/redis-harness.ts';
import { runConformance } from '../conformance/run-conformance.ts';

let redis: StartedRedis;
before(async () => {
  redis = await startRedis();
});
after(() => redis?.stop());
runConformance(
  'redis-standalone',
  redisHarness(() => redis.url),
);
