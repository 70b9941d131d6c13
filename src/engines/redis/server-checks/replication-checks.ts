/** What a server's settings of replication mean: what a failover can cost, and what makes replicas useless for one. Pure. */
import type { RedisKind } from '../../../core/redis-url.ts';
import type { DataServerFacts } from './ask-server.ts';
import { isMaster } from './data-server-checks.ts';
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

const LAG_MAX_S = 5;
const BACKLOG_BYTES_MIN = 16 * 1024 * 1024;
const REPLICA_BUFFER_BYTES_MIN = 64 * 1024 * 1024;
/** One answer of a read: a batch larger than what was asked for, and what is on its way. */
const NORMAL_BUFFER_BYTES_MIN = 64 * 1024 * 1024;
const PUBSUB_BUFFER_BYTES_MIN = 1024 * 1024;

interface ReplicaLine {
  readonly server: string;
  readonly state: string;
  /** Seconds since it last said how far it is. */
  readonly lagS: number;
  readonly behindBytes: number;
}

/** The lines `slave0:ip=…,port=…,state=online,offset=…,lag=…` of a master's INFO. */
function replicasOf({ info }: DataServerFacts): ReplicaLine[] {
  const masterOffset = Number(info.get('master_repl_offset') ?? 0);
  const lines = [...info].filter(([name]) => /^slave\d+$/.test(name)).map(([, line]) => line);
  return lines.map((line) => {
    const fields = new Map(line.split(',').map((field) => field.split('=', 2) as [string, string]));
    return {
      server: `${fields.get('ip')}:${fields.get('port')}`,
      state: fields.get('state') ?? '?',
      lagS: Number(fields.get('lag') ?? 0),
      behindBytes: Math.max(0, masterOffset - Number(fields.get('offset') ?? 0)),
    };
  });
}

const isUsable = ({ state, lagS }: ReplicaLine): boolean => state === 'online' && lagS <= LAG_MAX_S;

/** Of masters. */
export function checkReplicas(facts: DataServerFacts, kind: RedisKind, setup: CheckedSetup): ServerCheck | undefined {
  if (!isMaster(facts)) return undefined;
  const name = 'redis replicas';
  const replicas = replicasOf(facts);
  const usable = replicas.filter(isUsable);
  const told = replicas.map(
    ({ server, state, lagS, behindBytes }) => `${server} ${state}, ${behindBytes} bytes behind, heard of ${lagS} s ago`,
  );
  const finding = replicas.length === 0 ? 'none' : told.join('; ');
  const wanted = setup.ack === 'replicated' ? setup.replicas : 0;
  if (usable.length < wanted)
    return failed(
      facts,
      name,
      `${finding}: ack: replicated wants ${wanted}, so every append is answered TANDEM_NOT_REPLICATED`,
      'Bring the replicas back, or lower engine.replicas.',
    );
  if (usable.length < replicas.length)
    return warning(facts, name, finding, 'See the log of the replica and the network between them.');
  if (replicas.length > 0) return ok(facts, name, finding);
  if (kind === 'standalone')
    return ok(facts, name, 'none: if this machine is lost, so are its records, but for what the spools still have');
  return failed(
    facts,
    name,
    'none: nobody can take over from it, and its records are lost with it',
    kind === 'cluster' ? 'Add a replica of this master.' : 'Start a replica of it (replicaof).',
  );
}

/** Of all that may be masters: a master that is cut off goes on taking writes, which are lost once another one has taken over. */
export function checkMinReplicas(
  facts: DataServerFacts,
  kind: RedisKind,
  setup: CheckedSetup,
): ServerCheck | undefined {
  if (kind === 'standalone') return undefined;
  const name = 'redis min-replicas';
  const toWriteText = facts.settings?.get('min-replicas-to-write');
  const lagText = facts.settings?.get('min-replicas-max-lag');
  if (toWriteText === undefined || lagText === undefined)
    return notKnown(facts, name, 'min-replicas-to-write', 'It should be 1, with min-replicas-max-lag 5.');
  const toWrite = Number(toWriteText);
  const lagMs = Number(lagText) * 1000;
  const isOn = toWrite > 0 && lagMs > 0;
  if (!isOn) return withoutMinReplicas(facts, kind, setup);
  const finding = `min-replicas-to-write ${toWrite}, min-replicas-max-lag ${lagText} s`;
  const good = Number(facts.info.get('min_slaves_good_slaves') ?? toWrite);
  if (isMaster(facts) && good < toWrite)
    return failed(
      facts,
      name,
      `${finding}, and ${good} replicas are there: it refuses writes, and the spools fill`,
      'Bring the replicas back, or lower min-replicas-to-write.',
    );
  if (isMaster(facts) && good === toWrite)
    return nobodyAfterFailover(facts, kind, `${finding}, and ${good} replicas are there`);
  const cutOff = `${finding}: a master that is cut off stops taking writes after ${lagText} s`;
  if (setup.ack !== 'flushed')
    return setup.ack === 'replicated'
      ? ok(facts, name, cutOff)
      : warning(
          facts,
          name,
          `${cutOff}; what it confirmed until then is lost at a failover, and with ack: stored nothing sends it again`,
          'engine.ack: flushed or replicated.',
        );
  if (lagMs < setup.windowMs)
    return ok(facts, name, `${cutOff}; the spools keep ${secondsText(setup.windowMs)} and send it again`);
  return warning(
    facts,
    name,
    `${cutOff}, but the spools keep what it confirmed only for ${secondsText(setup.windowMs)}`,
    'Raise engine.spool.windowMs, or lower min-replicas-max-lag.',
  );
}

/** Who is promoted has one replica fewer. */
const nobodyAfterFailover = (facts: DataServerFacts, kind: RedisKind, finding: string): ServerCheck =>
  warning(
    facts,
    'redis min-replicas',
    `${finding}: after a failover the new master has one fewer, and refuses writes until the former one is back; no lease is granted meanwhile`,
    kind === 'cluster'
      ? 'CONFIG SET min-replicas-to-write 0: a master of a cluster that is cut off stops by itself. Or add a replica of this master.'
      : 'Add a replica.',
  );

function withoutMinReplicas(facts: DataServerFacts, kind: RedisKind, { ack, windowMs }: CheckedSetup): ServerCheck {
  const name = 'redis min-replicas';
  const off = 'min-replicas-to-write is off';
  if (ack === 'replicated')
    return ok(facts, name, `${off}: a master that is cut off confirms nothing with ack: replicated`);
  if (kind === 'cluster')
    return ok(facts, name, `${off}: a master that is cut off stops by itself after cluster-node-timeout`);
  const kept =
    ack === 'flushed'
      ? `what a node that is cut off with it sends there for longer than ${secondsText(windowMs)} is lost`
      : 'what it confirms meanwhile is lost';
  return warning(
    facts,
    name,
    `${off}: a master that is cut off goes on taking writes after another one has been promoted; ${kept}`,
    'CONFIG SET min-replicas-to-write 1 and min-replicas-max-lag 5 on master and replicas. Then the loss of the last replica stops writes; the spools bridge that.',
  );
}

/** Of all that have replicas or may have them. */
export function checkBacklog(facts: DataServerFacts, kind: RedisKind): ServerCheck | undefined {
  if (kind === 'standalone') return undefined;
  const bytes = Number(facts.info.get('repl_backlog_size') ?? Number.NaN);
  const name = 'redis backlog';
  const advice = 'CONFIG SET repl-backlog-size 64mb: about as much as is written in the longest break to bridge.';
  if (Number.isNaN(bytes)) return notKnown(facts, name, 'repl-backlog-size', 'It should be 64mb or more.');
  const finding = `repl-backlog-size ${mebibytesText(bytes)}`;
  if (bytes >= BACKLOG_BYTES_MIN) return ok(facts, name, finding);
  return warning(
    facts,
    name,
    `${finding}: a replica that misses more than that copies everything anew, and cannot take over meanwhile`,
    advice,
  );
}

const MINIMUMS: readonly { readonly kinds: readonly string[]; readonly minimum: number; readonly why: string }[] = [
  { kinds: ['normal'], minimum: NORMAL_BUFFER_BYTES_MIN, why: 'reads of many records are cut off' },
  {
    kinds: ['slave', 'replica'],
    minimum: REPLICA_BUFFER_BYTES_MIN,
    why: 'a burst cuts replicas off, which then copy everything anew',
  },
  { kinds: ['pubsub'], minimum: PUBSUB_BUFFER_BYTES_MIN, why: 'wake-ups are cut off, and readers wait longer' },
];

/** `client-output-buffer-limit`: name, hard limit, soft limit, seconds, and so on; 0 is no limit. */
export function checkBuffers(facts: DataServerFacts): ServerCheck {
  const name = 'redis buffers';
  const setting = 'client-output-buffer-limit';
  const text = facts.settings?.get(setting);
  if (text === undefined) return notKnown(facts, name, setting, 'The defaults will do.');
  const words = text.split(' ');
  const small = MINIMUMS.flatMap(({ kinds, minimum, why }) => {
    const at = words.findIndex((word) => kinds.includes(word));
    const limits = [Number(words[at + 1]), Number(words[at + 2])].filter((limit) => limit > 0);
    const limit = Math.min(...limits);
    return at !== -1 && limit < minimum ? [`${words[at]} ${mebibytesText(limit)}: ${why}`] : [];
  });
  if (small.length === 0) return ok(facts, name, `${setting} ${text}`);
  return warning(facts, name, `${setting}: ${small.join('; ')}`, `The defaults will do: ${DEFAULT_BUFFERS}.`);
}

const DEFAULT_BUFFERS = 'normal 0 0 0, replica 256mb 64mb 60, pubsub 32mb 8mb 60';
