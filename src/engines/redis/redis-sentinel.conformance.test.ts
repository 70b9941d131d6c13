import { startSentinel } from '../../core/testing/redis-servers/start-sentinel.ts';
import { runRedisConformance } from '../conformance/redis-harness.ts';

runRedisConformance('sentinel', () => startSentinel());
