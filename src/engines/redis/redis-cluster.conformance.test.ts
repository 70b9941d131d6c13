import { startCluster } from '../../core/testing/redis-servers/start-cluster.ts';
import { runRedisConformance } from '../conformance/redis-harness.ts';

runRedisConformance('cluster', () => startCluster());
