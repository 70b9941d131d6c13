/** What `tandem doctor` says about the servers, and the setup that it is said for. */
import type { RedisReply } from '../connections/redis-servers.ts';

export interface ServerCheck {
  readonly name: string;
  /** `host:port`; absent: of all servers together. */
  readonly server?: string;
  /** A setting that cannot be read is a warning that says so, never ok. */
  readonly result: 'ok' | 'warning' | 'failed';
  readonly finding: string;
  /** What to do, unless it is ok. */
  readonly advice?: string;
}

/** What the promise rests on besides the servers. */
export interface CheckedSetup {
  readonly ack: 'flushed' | 'stored' | 'replicated';
  /** With `flushed`: how long the spools keep what Redis has confirmed. */
  readonly windowMs: number;
  /** With `replicated`. */
  readonly replicas: number;
  /** Where one node is active at a time; null: every node serves without a lease. */
  readonly lease: { readonly ttlMs: number; readonly renewMs: number; readonly marginMs: number } | null;
}

/** One command to one server; the reply as it stands, errors rejected. */
export type Ask = (...command: string[]) => Promise<RedisReply>;

type Where = { readonly server?: string };

export const ok = ({ server }: Where, name: string, finding: string): ServerCheck => ({
  name,
  ...(server === undefined ? {} : { server }),
  result: 'ok',
  finding,
});

export const warning = (where: Where, name: string, finding: string, advice: string): ServerCheck => ({
  ...ok(where, name, finding),
  result: 'warning',
  advice,
});

export const failed = (where: Where, name: string, finding: string, advice: string): ServerCheck => ({
  ...ok(where, name, finding),
  result: 'failed',
  advice,
});

/** The server does not let us read it. */
export const notKnown = (where: Where, name: string, settings: string, wanted: string): ServerCheck =>
  warning(
    where,
    name,
    `not known: the server does not let us read ${settings}`,
    `${wanted} Ask who runs the server, or allow our user CONFIG GET (ACL: +config|get).`,
  );

export const secondsText = (ms: number): string =>
  ms === Number.POSITIVE_INFINITY ? 'any time' : ms < 120_000 ? `${ms / 1000} s` : `${Math.round(ms / 60_000)} min`;

const MIB = 1024 * 1024;
export const mebibytesText = (bytes: number): string =>
  bytes >= 10 * MIB || bytes === 0 ? `${Math.round(bytes / MIB)} MiB` : `${(bytes / MIB).toFixed(1)} MiB`;

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127\./.test(host);

/** How long a node can be without the store before it must stop what it does under a lease. */
const graceMs = ({ ttlMs, renewMs, marginMs }: NonNullable<CheckedSetup['lease']>): number =>
  ttlMs - marginMs - renewMs;

/** Longer is more than a network's hiccup asks for. */
const FAILOVER_MS_MAX = 10_000;

/** Judges how long a failover of the servers takes by what nodes with leases can bear. */
export function judgeFailover(
  where: Where,
  name: string,
  { failoverMs, finding, remedy }: { failoverMs: number; finding: string; remedy: string },
  { lease }: CheckedSetup,
): ServerCheck {
  const takes = `${finding}: a failover takes about ${secondsText(failoverMs)}`;
  if (lease === null) {
    if (failoverMs <= FAILOVER_MS_MAX) return ok(where, name, `${takes}, in which nothing is delivered`);
    return warning(where, name, `${takes}, in which nothing is delivered and the spools fill`, `${remedy}.`);
  }
  const grace = graceMs(lease);
  const { ttlMs, marginMs, renewMs } = lease;
  const bears = `${secondsText(grace)} (cluster.ttlMs ${ttlMs} - marginMs ${marginMs} - renewMs ${renewMs})`;
  if (failoverMs <= grace) return ok(where, name, `${takes}, and leases outlive ${bears} without Redis`);
  return warning(
    where,
    name,
    `${takes}, but leases outlive only ${bears} without Redis: each failover of Redis also ends the active node's lease. Nothing acknowledged is lost, but no node takes data until Redis is back`,
    `${remedy}, or cluster.ttlMs of at least ${Math.ceil((failoverMs + marginMs + renewMs) / 100) * 100}.`,
  );
}
