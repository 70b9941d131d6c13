/**
 * The undertaker of a node whose lease ends by time: a process that does nothing until its keeper dies. Then it ends by force what the keeper has left
 * behind; after that nothing of the node can write, and it gives the node's lease back, so that nobody has to wait until it ends. Started by
 * undertaker.ts. Whatever becomes of it, nothing is less safe: without it the lease ends by its time.
 */
import type { LeaseGrant } from '../core/contracts/engine.ts';
import { silentLogger } from '../core/contracts/telemetry.ts';
import { asTandemError } from '../core/errors.ts';
import { openRedisNode, type RedisNode } from '../engines/redis/redis-node.ts';
import { holderOf, NodeRegistry } from '../supervisor/node-registry.ts';
import { logLevel } from '../telemetry/log-level.ts';
import { createLogger } from '../telemetry/logger.ts';
import { ROLE_LEASE } from './role-lease.ts';
import type { ToUndertaker, UndertakerTask } from './undertaker-messages.ts';

const GIVE_UP_MS = 5000;
/** It says nothing of itself. */
const BEAT_MS = 60_000;

process.title = 'tandem undertaker';
// Of the terminal or the service manager: the keeper's business.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

let task: UndertakerTask | undefined;
let grant: LeaseGrant | undefined;
let node: RedisNode | undefined;

process.on('message', (message: ToUndertaker) => {
  if (message.kind === 'end') process.exit(0);
  if (message.kind === 'grant') grant = message.grant;
  if (message.kind === 'begin') {
    task = message.task;
    const { url, self } = task;
    node = openRedisNode({
      url,
      holder: `${holderOf(self)}-undertaker`,
      heartbeatTimeoutMs: BEAT_MS,
      logger: silentLogger,
    });
    // Connected from here on: when it counts there is no time for that.
    node.leases.holder(ROLE_LEASE).catch(() => {});
  }
});
process.on('disconnect', () => void bury().finally(() => process.exit(0)));

async function bury(): Promise<void> {
  if (task === undefined || grant === undefined || node === undefined) return;
  setTimeout(() => process.exit(1), GIVE_UP_MS);
  const logger = createLogger({ level: logLevel(), base: { node: task.self.name } });
  try {
    const pids = await new NodeRegistry(task.dataFolder).rollOf(task.self).endAll();
    await node.leases.release(grant);
    // Or the others would find out when they next ask for the lease.
    await node.peers.sayGone(grant.holder).catch(() => {});
    logger.warn('lease_of_dead_keeper_ended', { holder: grant.holder, term: grant.term, pids });
  } catch (error) {
    logger.error('lease_of_dead_keeper_not_ended', { holder: grant.holder, problem: asTandemError(error).message });
  }
}
