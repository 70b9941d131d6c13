/** What a server says of itself. */
import { type RedisReply, RedisReplyError } from './redis-servers.ts';
import { wrongServer } from './unusable-server.ts';

export interface ServerFacts {
  readonly product: 'redis' | 'valkey';
  readonly version: string;
  readonly mode: 'standalone' | 'sentinel' | 'cluster';
  readonly runId: string;
  readonly replication: ReplicationFacts;
  /** It reads its data from the disk and answers no calls yet. */
  readonly isLoading: boolean;
  /** Of a cluster node; 0 else. */
  readonly configEpoch: number;
}

export interface ReplicationFacts {
  readonly isMaster: boolean;
  readonly replicationId: string;
  /** Whose history it continues: of a promoted replica, its former master's. */
  readonly formerReplicationId: string;
  /** Online. */
  readonly replicas: number;
}

const INFO_ALL = ['INFO', 'server', 'replication', 'persistence'];
export const INFO_REPLICATION = ['INFO', 'replication'];
const NO_HISTORY = /^0*$/;

/** Whether `later` was a replica of the master with this history and has been promoted since. */
export const isSuccessor = (later: ReplicationFacts, formerReplicationId: string): boolean =>
  later.isMaster && later.formerReplicationId === formerReplicationId && !NO_HISTORY.test(formerReplicationId);

/** Asks a data server. Throws UnusableServer if it is older than version 7, and what `send` does. */
export async function askFacts(send: (command: readonly string[]) => Promise<RedisReply>): Promise<ServerFacts> {
  const fields = parseInfo(await send(INFO_ALL).catch(explain));
  const version = fields.get('valkey_version') ?? fields.get('redis_version') ?? '';
  const mode = (fields.get('redis_mode') ?? fields.get('server_mode') ?? 'standalone') as ServerFacts['mode'];
  return {
    product: fields.has('valkey_version') ? 'valkey' : 'redis',
    version,
    mode,
    runId: fields.get('run_id') ?? '',
    replication: replicationFacts(fields),
    isLoading: fields.get('loading') === '1',
    configEpoch:
      mode === 'cluster' ? Number(parseInfo(await send(['CLUSTER', 'INFO'])).get('cluster_my_epoch') ?? 0) : 0,
  };
}

/** The answer to INFO_REPLICATION. */
export const parseReplication = (reply: RedisReply): ReplicationFacts => replicationFacts(parseInfo(reply));

/** `name:value` lines. */
export function parseInfo(reply: RedisReply): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of String(reply).split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

function replicationFacts(fields: ReadonlyMap<string, string>): ReplicationFacts {
  let replicas = 0;
  for (const [name, value] of fields) if (/^slave\d+$/.test(name) && value.includes('state=online')) replicas++;
  return {
    isMaster: fields.get('role') === 'master',
    replicationId: fields.get('master_replid') ?? '',
    formerReplicationId: fields.get('master_replid2') ?? '',
    replicas,
  };
}

function explain(error: unknown): never {
  // Before version 7, INFO took one section.
  if (error instanceof RedisReplyError && /syntax error/.test(error.message))
    throw wrongServer('is older than Redis 7');
  throw error;
}
