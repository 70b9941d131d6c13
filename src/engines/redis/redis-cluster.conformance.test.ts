import { startCluster } from '../../core/testing/redis-servers/start-cluster.ts';
import { runRedisConformance } from '../conformance/redis-harness.ts';

// No law needs a failover; on a busy machine there must be none.
runRedisConformance('cluster', () => startCluster(undefined, { nodeTimeoutMs: 10_000 }));
