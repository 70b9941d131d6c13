/** The times of the cluster: those of the config, and those that nobody need set. */
import type { ClusterTimers } from '../cluster/lease-timers.ts';
import type { ClusterConfig } from '../config/tandem-config.ts';

/** A candidate tries this often even if nothing happens: the kernel tells of most deaths at once. */
const POLL_MS = 250;
/** Leases of some stores do not end by time. */
const NEVER_MS = Number.MAX_SAFE_INTEGER;

export function clusterTimers(cluster: ClusterConfig, provesDeath: boolean): ClusterTimers {
  const { heartbeatTimeoutMs, minTenureMs, takeoversMax, takeoverWindowMs, ttlMs, renewMs, marginMs } = cluster;
  const times = provesDeath ? { ttlMs: NEVER_MS, renewMs: NEVER_MS, marginMs: 0 } : { ttlMs, renewMs, marginMs };
  const lease = { ...times, pollMs: POLL_MS };
  return { ...lease, heartbeatTimeoutMs, minTenureMs, takeoversMax, takeoverWindowMs };
}
