import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { runRedisConformance } from '../conformance/redis-harness.ts';

runRedisConformance('standalone', () => startRedis());
