/**
 * What a keeper holds of a Redis store that several machines share: it sees the other nodes there, and pauses of consumers hold for all of them; the
 * node's name, its processes and its slots are its own, in its data folder. So every node has a data folder to itself. Where one node is active at a
 * time, the role's lease is the server's and ends by time; where all are, each has its own.
 *
 * A keeper that begins anew in the folder has proof that the one before it is dead: it ends that one's lease at once. So does the undertaker, a process
 * that outlives its keeper, if it is left (undertaker-main.ts). Without either the lease ends by its time.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RedisEngineConfig, TandemConfig } from '../config/tandem-config.ts';
import type { LeaseStore } from '../core/contracts/engine.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../core/errors.ts';
import { systemClock } from '../core/ports/clock.ts';
import type { RedisNode } from '../engines/redis/redis-node.ts';
import { nodeOf } from '../supervisor/node-registry.ts';
import { type NodeStore, openEmbeddedNodeStore } from './node-store.ts';
import { ROLE_LEASE } from './role-lease.ts';
import { SharedPauses } from './shared-pauses.ts';
import { Undertaker } from './undertaker.ts';

/** For so long a node that begins waits for the server's word on pauses. */
const PAUSES_MS_MAX = 500;

/** Errors: as OpenNodeStore; TANDEM_DATA_LOCKED also if another node has the data folder. The server need not be there yet. */
export async function openRedisNodeStore(
  config: TandemConfig,
  { url }: RedisEngineConfig,
  logger: Logger,
): Promise<NodeStore> {
  const { openRedisNode } = await import('../engines/redis/redis-node.ts');
  const local = await openEmbeddedNodeStore(config, logger);
  const { heartbeatTimeoutMs, mode } = config.cluster;
  const remote = openRedisNode({ url, holder: local.holder, heartbeatTimeoutMs, logger });
  const pauses = new SharedPauses({ copy: local.pauses, store: remote.pauses, clock: systemClock, logger });
  const shared: NodeStore = {
    ...local,
    ...{ peers: remote.peers, pauses },
    async claim(term) {
      await local.claim(term);
      await pauses.reload(PAUSES_MS_MAX);
    },
    async close() {
      pauses.close();
      await remote.close();
      await local.close();
    },
  };
  if (mode === 'active-active') return shared;
  try {
    return await withSharedRole(shared, { config, url, local, remote, pauses, logger });
  } catch (error) {
    await shared.close();
    throw error;
  }
}

interface RoleParts {
  readonly config: TandemConfig;
  readonly url: string;
  readonly local: NodeStore;
  readonly remote: RedisNode;
  readonly pauses: SharedPauses;
  readonly logger: Logger;
}

async function withSharedRole(
  shared: NodeStore,
  { config, url, local, remote, pauses, logger }: RoleParts,
): Promise<NodeStore> {
  const slots = await local.leases.acquire('slots', local.holder, 0);
  if (slots === undefined)
    throw new TandemError('TANDEM_DATA_LOCKED', {
      detail: `another node has ${config.dataFolder}; with a server as engine each needs a data folder of its own`,
    });
  await local.claim(slots.term);
  await endEarlierGrant(remote.leases, config.dataFolder, local.holder, logger);
  const undertaker = new Undertaker({ url, dataFolder: config.dataFolder, self: nodeOf(local.holder) });
  return {
    ...shared,
    ...{ leases: remote.leases, provesDeath: false, ownsSlots: true },
    noteGrant: (grant) => undertaker.note(grant),
    async claim(term) {
      await remote.claim(term);
      await pauses.reload(PAUSES_MS_MAX);
    },
    issueSlotTerm: () => local.leases.issueTerm(slots),
    async close() {
      await shared.close();
      // Last: until the lease is given back, it may be needed.
      undertaker.stop();
    },
  };
}

/** Whoever has this folder's locks knows that its earlier keeper is dead. If the server cannot be asked now the grant ends by its time. */
async function endEarlierGrant(leases: LeaseStore, dataFolder: string, holder: string, logger: Logger): Promise<void> {
  const path = join(dataFolder, 'run', 'holder');
  try {
    const earlier = readEarlier(path);
    const grant = earlier === undefined ? undefined : await leases.holder(ROLE_LEASE);
    if (grant !== undefined && grant.holder === earlier) {
      await leases.release(grant);
      logger.info('earlier_grant_ended', { holder: earlier, term: grant.term });
    }
  } catch (error) {
    logger.warn('earlier_grant_not_ended', { problem: asTandemError(error).message });
  }
  writeFileSync(path, holder);
}

function readEarlier(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
