import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { NodeFacts } from '../../core/contracts/cluster.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../core/testing/until.ts';
import { openRedisNode, type RedisNode } from './redis-node.ts';

const skip = missingRedis();
const TTL_MS = 60_000;

function openNode(t: TestContext, url: string, holder: string): RedisNode {
  const node = openRedisNode({ url, holder, heartbeatTimeoutMs: 800, logger: silentLogger });
  t.after(() => node.close());
  return node;
}

const activeFacts = (holder: string, term: number): NodeFacts => ({
  ...{ serial: 1, name: holder, holder, role: 'active', term, isReady: true, reason: '' },
  ...{ adminUrl: '', version: '1', sinceMs: 0, takeovers: [] },
});

test('a node that has only heard of the active one tells its term to a server that has lost all', {
  skip,
}, async (t) => {
  const { url, server } = await startRedis(t);
  const [a, b] = [openNode(t, url, 'a/1'), openNode(t, url, 'b/1')];
  const grant = await a.leases.acquire('active', 'a/1', TTL_MS);
  assert.ok(grant);
  a.peers.tell(activeFacts('a/1', grant.term));
  await until('b has heard of a', () => b.peers.peers.length === 1);
  await server.call('FLUSHALL');
  assert.equal(await b.leases.acquire('active', 'b/1', TTL_MS), undefined, 'a may hold it');
  assert.equal(await a.leases.renew(grant, TTL_MS), true);
});
