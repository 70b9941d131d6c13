/**
 * What a node runs with: the result of `loadConfig`, complete (every default filled in), checked and deeply frozen.
 * Plain data: it survives structuredClone and JSON, so the keeper can hand it to its workers as it is.
 * It holds secrets (tokens, webhook secrets): never log it whole.
 * Paths are absolute. The input's form (what stands in YAML) is in schema.ts.
 */

import type { ClusterMode } from '../core/contracts/cluster.ts';
import type { TopicInfo } from '../core/contracts/engine.ts';
import type { Limits } from '../core/limits.ts';
import type { RedisEndpoint } from '../core/ports/redis-connection.ts';

export interface TandemConfig {
  /** The node's name; default: the host's. */
  readonly name: string;
  /** The data folder. */
  readonly dataFolder: string;
  readonly engine: EngineConfig;
  /** In the order of the config; a listener is known by its index. */
  readonly listen: readonly ListenConfig[];
  /** Those of `listen` to which nobody connects. */
  readonly sources: readonly SourceConfig[];
  readonly admin: AdminConfig;
  readonly workers: WorkersConfig;
  readonly cluster: ClusterConfig;
  /** Declared ones and those that listeners and consumers name. */
  readonly topics: readonly TopicInfo[];
  /** Names of those whose number of partitions is written down; others keep what they were created with. */
  readonly fixedTopics: readonly string[];
  /** For topics that are created by their first record. */
  readonly topicDefaults: Omit<TopicInfo, 'name'>;
  readonly consumers: readonly ConsumerConfig[];
  readonly push: PushConfig;
  readonly auth: AuthConfig;
  readonly limits: Limits;
  /** The file it came from; null: none. */
  readonly configPath: string | null;
}

// ---------------------------------------------------------------- engine

export type EngineConfig = { readonly kind: 'embedded' | 'memory' } | RedisEngineConfig;
export type EngineKind = EngineConfig['kind'];

export interface RedisEngineConfig {
  readonly kind: 'redis';
  /** With its secrets. */
  readonly url: string;
  /** Without them, for people. */
  readonly displayUrl: string;
  readonly ack: 'flushed' | 'stored' | 'replicated';
  /** With `replicated`. */
  readonly replicas: number;
  readonly replicaTimeoutMs: number;
  /** With `flushed`. */
  readonly spool: SpoolConfig;
}

export interface SpoolConfig {
  readonly bytesMax: number;
  readonly windowMs: number;
  readonly whenFull: 'wait' | 'refuse';
}

// ---------------------------------------------------------------- listeners

export interface TlsConfig {
  readonly certPath: string;
  readonly keyPath: string;
}

interface Address {
  /** As written, for logs: `tcp://127.0.0.1:9501?topic=data_queue`. */
  readonly url: string;
  /** A host name or IP address without brackets. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

interface ListenAddress extends Address {
  /** Who may send PROXY protocol headers, as each connection or datagram must then begin; null: the listener takes none. */
  readonly trustedProxies: readonly string[] | null;
}

export interface TcpListenConfig extends ListenAddress {
  readonly protocol: 'tcp';
  readonly topic: string;
  readonly framing: 'line' | 'length';
  readonly ack: 'offset' | 'none';
  readonly tls: TlsConfig | null;
}

export interface UdpListenConfig extends ListenAddress {
  readonly protocol: 'udp';
  readonly topic: string;
  readonly ack: 'offset' | 'none';
}

/** HTTP, WebSocket and SSE on one port. */
export interface HttpListenConfig extends ListenAddress {
  readonly protocol: 'http';
  readonly tls: TlsConfig | null;
}

export type ListenConfig = TcpListenConfig | UdpListenConfig | HttpListenConfig;

/** A list on a Redis server. */
export interface RedisListConfig {
  /** For logs: without user, password and query. */
  readonly url: string;
  readonly endpoint: RedisEndpoint;
  readonly list: string;
}

/** What is taken from a list goes into a topic. */
export interface SourceConfig {
  readonly kind: 'redis-list';
  readonly place: RedisListConfig;
  readonly topic: string;
  /** The end that is taken from: the other one than others push onto, for the order in which they do. */
  readonly from: 'left' | 'right';
  /** How many workers of a node take, at most. */
  readonly takers: number;
}

export interface AdminConfig extends Address {
  /** Nobody wrote an address: if the port is taken by a node of the same cluster, the next free one will do. */
  readonly isDefault: boolean;
  readonly tls: TlsConfig | null;
  /** Where HAProxy's agent-check is answered; null: nowhere. */
  readonly agentCheck: AgentCheckConfig | null;
}

export interface AgentCheckConfig {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

// ---------------------------------------------------------------- processes

export interface WorkersConfig {
  readonly count: number;
  /** A worker that has not answered for so long is killed and replaced. */
  readonly heartbeatTimeoutMs: number;
  /** More restarts of one slot than this within `restartWindowMs`: back off. */
  readonly restartCountMax: number;
  readonly restartWindowMs: number;
  /** How long a worker may take to finish what is in hand. */
  readonly drainTimeoutMs: number;
}

export interface ClusterConfig {
  readonly mode: ClusterMode;
  /** An active node that is silent for so long is ended by a standby. */
  readonly heartbeatTimeoutMs: number;
  /** Of leases in an engine that ends them by time. */
  readonly ttlMs: number;
  readonly renewMs: number;
  readonly marginMs: number;
  /** No switchover in so long after a node became active. */
  readonly minTenureMs: number;
  /** More unplanned takeovers than this within `takeoverWindowMs`: standbys back off. */
  readonly takeoversMax: number;
  readonly takeoverWindowMs: number;
  readonly switchoverTimeoutMs: number;
}

// ---------------------------------------------------------------- consumers

export interface RetryConfig {
  /** Deliveries of one record, the first one included; after the last one: dead letter. */
  readonly attemptsMax: number;
  readonly backoffMs: number;
  readonly backoffMsMax: number;
}

export type ConsumerTarget =
  /** A module with a function of the consumer's name or a default one. */
  | { readonly kind: 'handler'; readonly modulePath: string }
  /** `secret` signs the deliveries (HMAC); null: unsigned. */
  | { readonly kind: 'webhook'; readonly url: string; readonly secret: string | null }
  /** Each record's data is appended to a list. */
  | { readonly kind: 'redis-list'; readonly place: RedisListConfig };

export interface ConsumerConfig {
  /** Also the name of its group. */
  readonly name: string;
  readonly topic: string;
  readonly target: ConsumerTarget;
  /** Records of different keys in hand at once, per partition. */
  readonly concurrency: number;
  readonly retry: RetryConfig;
  /** One delivery may take so long. */
  readonly timeoutMs: number;
  /** Where a group begins that has committed nothing. */
  readonly start: 'start' | 'now';
}

// ---------------------------------------------------------------- push

/** What happens to a session whose queue is full. */
export type SlowClientPolicy = 'disconnect' | 'drop-oldest' | 'latest-per-key';

export interface ChannelPushConfig {
  readonly policy: SlowClientPolicy;
  readonly queueBytesMax: number;
}

export interface PushConfig extends ChannelPushConfig {
  /** By channel (topic); complete, so it need not be merged with the defaults. */
  readonly channels: { readonly [channel: string]: ChannelPushConfig };
}

// ---------------------------------------------------------------- auth

export interface TokenConfig {
  /** For logs. */
  readonly name: string;
  readonly token: string;
  /** Topic names or patterns with a final `*`. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  readonly consume: readonly string[];
  readonly admin: boolean;
}

export interface AuthConfig {
  /** False (no tokens): everybody may do everything. */
  readonly isRequired: boolean;
  readonly tokens: readonly TokenConfig[];
  /** Of web pages; lower case, no default port; `*` only if `isRequired`. */
  readonly allowedOrigins: readonly string[];
}
