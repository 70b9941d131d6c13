/**
 * What the settings of a server that holds data mean for the promise "acked means kept". Pure: facts in, findings out.
 * What a setting costs is Redis's documentation and source, version 7.0: the AOF is written before an answer leaves, and made durable as appendfsync
 * says; with everysec the write itself waits up to 2 s while the disk is busy with the one before.
 */
import type { DataServerFacts } from './ask-server.ts';
import {
  type CheckedSetup,
  failed,
  mebibytesText,
  notKnown,
  ok,
  type ServerCheck,
  secondsText,
  warning,
} from './server-check.ts';

const REDIS_MAJOR_MIN = 7;
const MEMORY_HIGH_FRACTION = 0.8;
const EVERYSEC_LOSS_MS = 2000;
/** The kernel writes by itself what is older than this (vm.dirty_expire_centisecs and dirty_writeback_centisecs, defaults). */
const KERNEL_LOSS_MS = 35_000;

const numberOf = (facts: DataServerFacts, field: string): number => Number(facts.info.get(field) ?? 0);

export const isMaster = ({ info }: DataServerFacts): boolean => info.get('role') === 'master';

export function checkVersion(facts: DataServerFacts): ServerCheck {
  const { info } = facts;
  const valkey = info.get('valkey_version');
  const version = valkey ?? info.get('redis_version') ?? '?';
  const name = `${valkey === undefined ? 'Redis' : 'Valkey'} ${version}`;
  if (valkey === undefined && !(Number.parseInt(version, 10) >= REDIS_MAJOR_MIN))
    return failed(facts, 'redis version', name, 'Tandem needs Redis 7.0 or newer (functions), or Valkey.');
  return ok(facts, 'redis version', name);
}

export function checkRole(facts: DataServerFacts, expected: 'master' | 'any'): ServerCheck {
  const role = facts.info.get('role') ?? 'not known';
  if (numberOf(facts, 'loading') === 1)
    return failed(facts, 'redis role', `${role}, still loading its data`, 'Wait: it answers nothing until then.');
  if (expected === 'master' && role !== 'master')
    return failed(
      facts,
      'redis role',
      `${role} of ${facts.info.get('master_host')}:${facts.info.get('master_port')}: it takes no writes`,
      'Name the master in engine:, or Sentinels (redis+sentinel://), who know which one it is.',
    );
  return ok(facts, 'redis role', role);
}

export function checkEviction(facts: DataServerFacts): ServerCheck {
  const policy = facts.info.get('maxmemory_policy');
  const name = 'redis eviction';
  const set = 'CONFIG SET maxmemory-policy noeviction, and the same in redis.conf.';
  if (policy === undefined) return notKnown(facts, name, 'maxmemory-policy', 'It must be noeviction.');
  if (policy === 'noeviction') return ok(facts, name, 'noeviction: a full server refuses writes, and deletes nothing');
  if (policy.startsWith('volatile-'))
    return ok(facts, name, `${policy}: deletes only keys with an expiry, and Tandem's have none`);
  const finding = `${policy}: a full server deletes any key, stored records and leases too`;
  return numberOf(facts, 'maxmemory') > 0
    ? failed(facts, name, finding, set)
    : warning(facts, name, `${finding}; never full now, since maxmemory is 0`, set);
}

export function checkMemory(facts: DataServerFacts): ServerCheck {
  const name = 'redis memory';
  const used = numberOf(facts, 'used_memory');
  const max = numberOf(facts, 'maxmemory');
  const total = numberOf(facts, 'total_system_memory');
  if (max === 0)
    return warning(
      facts,
      name,
      `${mebibytesText(used)} used, maxmemory 0: it grows until the kernel ends it (the machine has ${mebibytesText(total)})`,
      'Set maxmemory to what the machine can spare (about half of it where Redis saves: a save may need as much again), and a retention for the topics.',
    );
  const finding = `${mebibytesText(used)} used of maxmemory ${mebibytesText(max)}`;
  const advice = 'Raise maxmemory, lower the retention of the topics, or delete what else is there.';
  if (used >= max) return failed(facts, name, `${finding}: it refuses writes`, advice);
  if (used >= max * MEMORY_HIGH_FRACTION) return warning(facts, name, `${finding}: nearly full`, advice);
  if (total > 0 && max > total)
    return warning(facts, name, `${finding}, but the machine has ${mebibytesText(total)}`, 'Lower maxmemory.');
  return ok(facts, name, finding);
}

interface Loss {
  readonly how: string;
  /** Of what Redis has confirmed, when power goes. */
  readonly powerMs: number;
  /** When only its process is killed. */
  readonly killMs: number;
}

/** What a restart of the server alone may cost; undefined: not known. */
function lossOf({ info, settings }: DataServerFacts): Loss | undefined {
  const save = settings?.get('save');
  if (info.get('aof_enabled') === '1') {
    const sync = settings?.get('appendfsync');
    const how = `appendonly yes, appendfsync ${sync}`;
    if (sync === undefined) return undefined;
    if (sync === 'always' && settings?.get('no-appendfsync-on-rewrite') === 'yes')
      return { how: `${how}, but no-appendfsync-on-rewrite yes`, powerMs: KERNEL_LOSS_MS, killMs: 0 };
    if (sync === 'always') return { how, powerMs: 0, killMs: 0 };
    if (sync === 'everysec') return { how, powerMs: EVERYSEC_LOSS_MS, killMs: EVERYSEC_LOSS_MS };
    return { how, powerMs: KERNEL_LOSS_MS, killMs: 0 };
  }
  if (save === undefined) return undefined;
  if (save === '') {
    const all = Number.POSITIVE_INFINITY;
    return { how: 'appendonly no, no save points: a restart empties it', powerMs: all, killMs: all };
  }
  const periods = save.split(' ').filter((_, i) => i % 2 === 0);
  const longestMs = Math.max(...periods.map(Number)) * 1000;
  return { how: `appendonly no, save "${save}"`, powerMs: longestMs, killMs: longestMs };
}

/** What a kill of the server's process and a power cut cost. */
export function checkDurability(facts: DataServerFacts, { ack, windowMs }: CheckedSetup): ServerCheck {
  const name = 'redis durability';
  const refusal = writesRefused(facts);
  if (refusal !== undefined) return failed(facts, name, refusal, 'See its log, and the disk that it writes to.');
  const loss = lossOf(facts);
  if (loss === undefined)
    return notKnown(
      facts,
      name,
      facts.info.get('aof_enabled') === '1' ? 'appendfsync' : 'save (appendonly is no)',
      'It should be appendonly yes with appendfsync always or everysec.',
    );
  const { how, powerMs, killMs } = loss;
  if (powerMs === 0) return ok(facts, name, `${how}: what it confirmed survives a kill and power loss`);
  const kill = killMs === 0 ? '' : killMs === EVERYSEC_LOSS_MS ? ', a kill while its disk is busy too' : ', a kill too';
  const costs =
    powerMs === Number.POSITIVE_INFINITY
      ? how
      : `${how}: power loss costs up to ${secondsText(powerMs)} of what it confirmed${kill}`;
  if (ack === 'flushed' && powerMs <= windowMs)
    return ok(facts, name, `${costs}; the spools keep ${secondsText(windowMs)} and send it again`);
  const replicated = facts.info.get('role') === 'master' && numberOf(facts, 'connected_slaves') > 0;
  const emptied = replicated ? ' A master that restarts before it is failed over takes its replicas back with it.' : '';
  const judge = powerMs > KERNEL_LOSS_MS ? failed : warning;
  const kept =
    ack === 'flushed' ? `the spools keep only ${secondsText(windowMs)}` : `with ack: ${ack} nothing sends it again`;
  return judge(
    facts,
    name,
    `${costs}; ${kept}`,
    `CONFIG SET appendonly yes and appendfsync ${ack === 'flushed' ? 'everysec' : 'always'}, and the same in redis.conf${ack === 'flushed' ? '' : ', or engine.ack: flushed'}.${emptied}`,
  );
}

function writesRefused({ info, settings }: DataServerFacts): string | undefined {
  if (info.get('aof_enabled') === '1' && info.get('aof_last_write_status') === 'err')
    return 'its last write to the AOF failed: it refuses writes until one succeeds';
  if (info.get('rdb_last_bgsave_status') !== 'err' || settings?.get('save') === '') return undefined;
  if (settings?.get('stop-writes-on-bgsave-error') === 'no') return undefined;
  return 'its last save failed: it refuses writes (stop-writes-on-bgsave-error) until one succeeds';
}
