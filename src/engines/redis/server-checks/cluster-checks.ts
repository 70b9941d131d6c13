/** What the nodes of a Redis Cluster say of it: is every slot served, can every master be replaced, and how long does that take. */
import type { ParsedRedisUrl, RedisAddress } from '../../../core/redis-url.ts';
import { parseInfo } from '../connections/server-facts.ts';
import { askServer, pairs, problemText, serverText } from './ask-server.ts';
import {
  type Ask,
  type CheckedSetup,
  failed,
  isLoopback,
  judgeFailover,
  notKnown,
  ok,
  type ServerCheck,
  secondsText,
  warning,
} from './server-check.ts';

/** The specification: NODE_TIMEOUT until the master is suspected, then 1 to 2 s to agree, to vote and to take over. */
const CLUSTER_FAILOVER_MS = 2000;
const MASTERS_MIN = 3;
const SLOTS = 16_384;

type Fields = ReadonlyMap<string, string>;

interface ClusterNode {
  readonly id: string;
  readonly address: RedisAddress;
  readonly flags: readonly string[];
  /** Of which master it is a replica; '-': it is a master. */
  readonly masterId: string;
  readonly isLinked: boolean;
  readonly hasSlots: boolean;
}

interface ClusterFacts {
  readonly server: string;
  /** CLUSTER INFO. */
  readonly info: Fields;
  readonly nodes: readonly ClusterNode[];
  /** CONFIG GET cluster-*; null: refused. */
  readonly settings: Fields | null;
}

interface ClusterReport {
  readonly checks: readonly ServerCheck[];
  readonly nodes: readonly RedisAddress[];
}

/** Asks the first node of the URL that answers, then says who the others are. */
export async function checkCluster(url: ParsedRedisUrl, setup: CheckedSetup): Promise<ClusterReport> {
  const checks: ServerCheck[] = [];
  for (const address of url.addresses) {
    try {
      const facts = await askCluster(address, url);
      checks.push(...judgeCluster(facts, url, setup));
      const nodes = facts.nodes.filter(({ flags }) => !flags.includes('noaddr') && !flags.includes('fail'));
      return { checks, nodes: nodes.map((node) => node.address) };
    } catch (error) {
      const advice = 'Is it running, with cluster-enabled yes, and is the password right?';
      checks.push(
        failed({ server: serverText(address) }, 'cluster node', `cannot be asked: ${problemText(error)}`, advice),
      );
    }
  }
  return { checks, nodes: [] };
}

function askCluster(address: RedisAddress, { isTls, credentials }: ParsedRedisUrl): Promise<ClusterFacts> {
  return askServer(address, { isTls, credentials }, async (ask: Ask) => ({
    server: serverText(address),
    info: parseInfo(await ask('CLUSTER', 'INFO')),
    nodes: nodesOf(String(await ask('CLUSTER', 'NODES')), address.host),
    settings: await ask('CONFIG', 'GET', 'cluster-*').then(pairs, () => null),
  }));
}

/** Lines `id ip:port@bus[,name] flags master ping pong epoch link slots…`. */
function nodesOf(text: string, ownHost: string): ClusterNode[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [id = '', where = '', flags = '', masterId = '', , , , link, ...slots] = line.split(' ');
    const [host = '', port] = splitAddress(where.replace(/@.*/, ''));
    return {
      id,
      address: { host: host === '' ? ownHost : host, port: Number(port) },
      flags: flags.split(','),
      masterId,
      isLinked: link === 'connected',
      hasSlots: slots.some((slot) => !slot.startsWith('[')),
    };
  });
}

const splitAddress = (text: string): [string, string] => {
  const colon = text.lastIndexOf(':');
  return [text.slice(0, colon), text.slice(colon + 1)];
};

function judgeCluster(facts: ClusterFacts, url: ParsedRedisUrl, setup: CheckedSetup): ServerCheck[] {
  return [
    stateCheck(facts),
    ...addressCheck(facts, url),
    mastersCheck(facts),
    replicasCheck(facts),
    timingCheck(facts, setup),
    coverageCheck(facts),
  ];
}

function stateCheck({ server, info }: ClusterFacts): ServerCheck {
  const name = 'cluster state';
  const state = info.get('cluster_state');
  const assigned = Number(info.get('cluster_slots_assigned'));
  const failing = Number(info.get('cluster_slots_fail')) + Number(info.get('cluster_slots_pfail'));
  const finding = `${state}; ${assigned} of ${SLOTS} slots are assigned, ${failing} of them with a master that does not answer`;
  if (state === 'ok' && assigned === SLOTS && failing === 0) return ok({ server }, name, finding);
  return failed(
    { server },
    name,
    `${finding}: records of those partitions wait in the spools`,
    'redis-cli --cluster check, then --cluster fix.',
  );
}

function addressCheck({ nodes }: ClusterFacts, url: ParsedRedisUrl): ServerCheck[] {
  const own = nodes.filter(({ address }) => isLoopback(address.host)).map(({ address }) => serverText(address));
  if (own.length === 0 || url.addresses.every(({ host }) => isLoopback(host))) return [];
  return [
    failed(
      {},
      'cluster addresses',
      `nodes are known as ${own.join(', ')}: every machine looks for them on itself`,
      'cluster-announce-ip, or form the cluster (CLUSTER MEET) with the addresses that other machines reach.',
    ),
  ];
}

const isMasterWithSlots = ({ flags, hasSlots }: ClusterNode): boolean => flags.includes('master') && hasSlots;
const isAway = ({ flags, isLinked }: ClusterNode): boolean =>
  !flags.includes('myself') && (flags.includes('fail') || flags.includes('fail?') || !isLinked);

function mastersCheck({ nodes }: ClusterFacts): ServerCheck {
  const name = 'cluster masters';
  const masters = nodes.filter(isMasterWithSlots);
  const away = masters.filter(isAway);
  const finding = `${masters.length} masters with slots`;
  if (away.length > 0)
    return failed(
      {},
      name,
      `${finding}; do not answer: ${away.map(({ address }) => serverText(address)).join(', ')}`,
      'Start them again, or make a replica take over (CLUSTER FAILOVER TAKEOVER).',
    );
  if (masters.length < MASTERS_MIN)
    return failed(
      {},
      name,
      `${finding}: a failover needs the votes of most masters, and the one that failed has none`,
      'Three masters or more.',
    );
  return ok({}, name, `${finding}, ${Math.floor(masters.length / 2) + 1} of them must agree to a failover`);
}

function replicasCheck({ nodes, settings }: ClusterFacts): ServerCheck {
  const name = 'cluster replicas';
  const replicas = nodes.filter((node) => node.flags.includes('slave') && !isAway(node));
  const alone = nodes.filter(isMasterWithSlots).filter(({ id }) => !replicas.some(({ masterId }) => masterId === id));
  if (alone.length > 0)
    return failed(
      {},
      name,
      `without a replica that answers: ${alone.map(({ address }) => serverText(address)).join(', ')}`,
      'Add one to each (redis-cli --cluster add-node … --cluster-slave): without it the slots and their records go with the master.',
    );
  if (settings?.get('cluster-replica-no-failover') === 'yes')
    return failed({}, name, 'cluster-replica-no-failover yes: no replica takes over by itself', 'Set it to no.');
  return ok({}, name, `${replicas.length} replicas, at least one for each master`);
}

function timingCheck({ server, settings }: ClusterFacts, setup: CheckedSetup): ServerCheck {
  const name = 'cluster timing';
  const text = settings?.get('cluster-node-timeout');
  if (text === undefined)
    return notKnown({ server }, name, 'cluster-node-timeout', 'It should be well below cluster.ttlMs.');
  const timeoutMs = Number(text);
  if (setup.ack === 'flushed' && timeoutMs >= setup.windowMs)
    return warning(
      { server },
      name,
      `cluster-node-timeout ${timeoutMs}: a master that is cut off takes writes for as long, and the spools keep what it confirmed only for ${secondsText(setup.windowMs)}`,
      'Lower cluster-node-timeout, or raise engine.spool.windowMs.',
    );
  const judged = {
    failoverMs: timeoutMs + CLUSTER_FAILOVER_MS,
    finding: `cluster-node-timeout ${timeoutMs}`,
    remedy: 'CONFIG SET cluster-node-timeout 2000 on each node',
  };
  return judgeFailover({ server }, name, judged, setup);
}

function coverageCheck({ server, settings }: ClusterFacts): ServerCheck {
  const name = 'cluster coverage';
  const text = settings?.get('cluster-require-full-coverage');
  if (text === undefined) return notKnown({ server }, name, 'cluster-require-full-coverage', 'It should be no.');
  const finding = `cluster-require-full-coverage ${text}`;
  if (text === 'no') return ok({ server }, name, `${finding}: slots without a master do not stop the others`);
  return warning(
    { server },
    name,
    `${finding}: one master without a successor stops all partitions, and what is written to the others waits in the spools too`,
    'CONFIG SET cluster-require-full-coverage no on each node.',
  );
}
