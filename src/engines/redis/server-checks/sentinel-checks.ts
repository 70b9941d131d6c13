/**
 * What Sentinels say of each other and of their master: can they agree, do they agree, and how long does a failover by them take.
 * `SENTINEL_FAILOVER_MS` is measured: a replica was promoted 0.3 to 0.8 s after down-after-milliseconds with redis-server 7.0.15 on one machine.
 */
import type { ParsedRedisUrl, RedisAddress } from '../../../core/redis-url.ts';
import { answersStrangers, askServer, pairs, problemText, serverText } from './ask-server.ts';
import {
  type Ask,
  type CheckedSetup,
  failed,
  isLoopback,
  judgeFailover,
  ok,
  type ServerCheck,
  warning,
} from './server-check.ts';

const SENTINEL_FAILOVER_MS = 1000;
const SENTINELS_MIN = 3;
const FAILOVER_TIMEOUT_MS_MAX = 60_000;

type Fields = ReadonlyMap<string, string>;

interface SentinelFacts {
  readonly server: string;
  readonly id: string;
  readonly master: Fields;
  readonly replicas: readonly Fields[];
  /** The others that it knows. */
  readonly others: readonly Fields[];
  /** Undefined: a quorum and a majority can be reached; else what SENTINEL CKQUORUM says. */
  readonly quorumProblem: string | undefined;
  readonly isOpen: boolean;
}

interface SentinelReport {
  readonly checks: readonly ServerCheck[];
  readonly master: RedisAddress | undefined;
  readonly replicas: readonly RedisAddress[];
}

const isGone = (fields: Fields): boolean => /s_down|o_down/.test(fields.get('flags') ?? '');
const addressOf = (fields: Fields): RedisAddress => ({
  host: fields.get('ip') ?? '',
  port: Number(fields.get('port')),
});

/** Asks the Sentinels of the URL and those that they know. */
export async function checkSentinels(url: ParsedRedisUrl, setup: CheckedSetup): Promise<SentinelReport> {
  const checks: ServerCheck[] = [];
  const all: SentinelFacts[] = [];
  const ask = async (address: RedisAddress): Promise<void> => {
    try {
      all.push(await askSentinel(address, url));
    } catch (error) {
      checks.push(unreachable(serverText(address), problemText(error), url.masterName ?? ''));
    }
  };
  for (const address of url.addresses) await ask(address);
  // By id: the URL may have names where they have addresses.
  const asked = new Set(all.map(({ id }) => id));
  const others = new Map(
    all.flatMap((facts) => facts.others.map((other) => [other.get('runid') ?? '', other] as const)),
  );
  for (const [id, other] of others) if (!asked.has(id) && !isGone(other)) await ask(addressOf(other));
  const [first] = all;
  if (first === undefined) return { checks, master: undefined, replicas: [] };
  checks.push(...all.map(accessOf), ...judgeSentinels(all, url, setup));
  return { checks, master: addressOf(first.master), replicas: first.replicas.map(addressOf) };
}

function unreachable(server: string, problem: string, masterName: string): ServerCheck {
  if (/No such master/i.test(problem))
    return failed(
      { server },
      'sentinel',
      `knows no master "${masterName}"`,
      'Name in engine: what stands after "sentinel monitor" in its configuration.',
    );
  return failed({ server }, 'sentinel', `cannot be asked: ${problem}`, 'Is it running, and is the password right?');
}

async function askSentinel(address: RedisAddress, url: ParsedRedisUrl): Promise<SentinelFacts> {
  const name = url.masterName ?? '';
  const { isTls, sentinelCredentials: credentials } = url;
  const facts = await askServer(address, { isTls, credentials }, async (ask) => ({
    master: pairs(await ask('SENTINEL', 'MASTER', name)),
    id: String(await ask('SENTINEL', 'MYID')),
    replicas: await tables(ask, 'REPLICAS', name),
    others: await tables(ask, 'SENTINELS', name),
    quorumProblem: await ask('SENTINEL', 'CKQUORUM', name).then(() => undefined, problemText),
  }));
  const isOpen = credentials.password === undefined || (await answersStrangers(address, isTls));
  return { server: serverText(address), isOpen, ...facts };
}

async function tables(ask: Ask, subcommand: string, name: string): Promise<Fields[]> {
  const reply = await ask('SENTINEL', subcommand, name);
  return Array.isArray(reply) ? reply.map(pairs) : [];
}

function accessOf({ server, isOpen }: SentinelFacts): ServerCheck {
  const host = server.slice(0, server.lastIndexOf(':'));
  if (!isOpen || isLoopback(host)) return ok({ server }, 'sentinel', 'answers');
  return warning(
    { server },
    'sentinel',
    'answers without a password over the network: whoever reaches it can make any server the master',
    'Set requirepass on the Sentinels (the same on each), sentinelPassword= in the URL, and let a firewall keep strangers off.',
  );
}

function judgeSentinels(all: readonly SentinelFacts[], url: ParsedRedisUrl, setup: CheckedSetup): ServerCheck[] {
  const [first] = all;
  if (first === undefined) return [];
  const downAfterMs = Math.max(...all.map(({ master }) => Number(master.get('down-after-milliseconds'))));
  const timing = judgeFailover(
    {},
    'sentinel timing',
    {
      failoverMs: downAfterMs + SENTINEL_FAILOVER_MS,
      finding: `down-after-milliseconds ${downAfterMs}`,
      remedy: `SENTINEL SET ${url.masterName} down-after-milliseconds 1000 on each Sentinel`,
    },
    setup,
  );
  return [numberCheck(first, url), quorumCheck(all), agreement(all), masterCheck(first, url), timing, retryCheck(all)];
}

function numberCheck({ others }: SentinelFacts, url: ParsedRedisUrl): ServerCheck {
  const name = 'sentinels';
  const count = others.length + 1;
  const majority = Math.floor(count / 2) + 1;
  const down = others.filter(isGone);
  const finding = `${count} Sentinels, ${majority} of them decide`;
  if (down.length > 0)
    return warning(
      {},
      name,
      `${finding}; not reached by the others: ${down.map((other) => serverText(addressOf(other))).join(', ')}`,
      'Start it, or tell the others to forget it (SENTINEL RESET).',
    );
  if (count < SENTINELS_MIN)
    return warning(
      {},
      name,
      `${finding}: without ${count === 1 ? 'it' : 'one of them'} there is no failover`,
      'Run three, each on a machine of its own, so that the loss of any machine leaves two.',
    );
  if (url.addresses.length < 2)
    return warning(
      {},
      name,
      `${finding}, but the URL names only one: a node that starts while that one is away does not find the master`,
      'Name them all in engine:.',
    );
  return ok({}, name, finding);
}

function quorumCheck(all: readonly SentinelFacts[]): ServerCheck {
  const name = 'sentinel quorum';
  const count = (all[0]?.others.length ?? 0) + 1;
  const quorums = [...new Set(all.map(({ master }) => master.get('quorum')))];
  const finding = `quorum ${quorums.join(', ')} of ${count}`;
  const refusal = all.find(({ quorumProblem }) => quorumProblem !== undefined);
  if (refusal !== undefined)
    return failed(
      { server: refusal.server },
      name,
      `${finding}: no failover is possible now: ${refusal.quorumProblem}`,
      'Bring the Sentinels back; quorum must not be above their number, and a majority of them must be there.',
    );
  if (quorums.length > 1)
    return warning({}, name, `${finding}: they differ`, 'SENTINEL SET … quorum 2 on each Sentinel.');
  return ok({}, name, `${finding}: a failover is possible`);
}

/** They are configured one by one, and a forgotten one has a say all the same. */
function agreement(all: readonly SentinelFacts[]): ServerCheck {
  const name = 'sentinel views';
  const masters = new Set(all.map(({ master }) => serverText(addressOf(master))));
  if (masters.size > 1)
    return failed(
      {},
      name,
      `they name different masters: ${all.map(({ server, master }) => `${server}: ${serverText(addressOf(master))}`).join('; ')}`,
      'During a failover this passes within seconds. If not: they do not hear each other; see their logs, SENTINEL RESET.',
    );
  const differing = ['down-after-milliseconds', 'failover-timeout'].filter(
    (setting) => new Set(all.map(({ master }) => master.get(setting))).size > 1,
  );
  if (differing.length > 0)
    return warning(
      {},
      name,
      differing
        .map(
          (setting) => `${setting}: ${all.map(({ server, master }) => `${server} ${master.get(setting)}`).join(', ')}`,
        )
        .join('; '),
      'SENTINEL SET the same on each Sentinel; it is not passed on.',
    );
  return ok({}, name, `all name ${[...masters].join()} as the master`);
}

function masterCheck({ master, replicas }: SentinelFacts, url: ParsedRedisUrl): ServerCheck {
  const name = 'sentinel master';
  const address = addressOf(master);
  const finding = `${url.masterName} is ${serverText(address)}`;
  if (isGone(master))
    return failed(
      {},
      name,
      `${finding}, and is down (${master.get('flags')})`,
      'See whether a failover is on its way.',
    );
  const remote = url.addresses.find(({ host }) => !isLoopback(host));
  if (isLoopback(address.host) && remote !== undefined)
    return failed(
      {},
      name,
      `${finding}: the Sentinels tell every machine to look for it on itself`,
      'Name the address that other machines reach after "sentinel monitor", and replica-announce-ip if need be.',
    );
  const usable = replicas.filter((replica) => (replica.get('flags') ?? '') === 'slave');
  const promotable = usable.filter((replica) => replica.get('slave-priority') !== '0');
  if (promotable.length === 0)
    return failed(
      {},
      name,
      `${finding}; of ${replicas.length} replicas none can take over`,
      'Start a replica of it (replicaof), with replica-priority above 0.',
    );
  if (usable.length < replicas.length)
    return warning(
      {},
      name,
      `${finding}; of ${replicas.length} replicas ${usable.length} are there`,
      'Start the others, or tell the Sentinels to forget them (SENTINEL RESET).',
    );
  return ok({}, name, `${finding}; ${promotable.length} of ${replicas.length} replicas can take over`);
}

function retryCheck(all: readonly SentinelFacts[]): ServerCheck {
  const timeoutMs = Math.max(...all.map(({ master }) => Number(master.get('failover-timeout'))));
  const finding = `failover-timeout ${timeoutMs}: a failover that fails is tried again after ${(2 * timeoutMs) / 1000} s`;
  if (timeoutMs <= FAILOVER_TIMEOUT_MS_MAX) return ok({}, 'sentinel retries', finding);
  return warning({}, 'sentinel retries', finding, 'SENTINEL SET … failover-timeout 10000 on each Sentinel.');
}
