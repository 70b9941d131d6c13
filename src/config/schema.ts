/**
 * The config as it is written (YAML, environment, flags): one zod schema. config.schema.json, docs/config.md and the environment
 * names are generated from it (`npm run docs`); tests fail when they are stale.
 *
 * Every key is optional: defaults stand here (`default` in the meta data, shown in the docs) and are applied in resolve.ts, where
 * some depend on others. Durations and sizes are plain numbers; the unit is in the key.
 * Cross-field rules (addresses, names, files) are in resolve.ts too.
 */
import { z } from 'zod';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import { TOPIC_NAME_PATTERN } from '../core/record.ts';

export const DEFAULT_TOPIC = 'data_queue';
export const DEFAULT_DATA_FOLDER = './tandem-data';
export const DEFAULT_ADMIN = 'http://127.0.0.1:9510';
export const DEFAULT_LISTEN: readonly string[] = [
  'http://127.0.0.1:9500',
  `tcp://127.0.0.1:9501?topic=${DEFAULT_TOPIC}`,
  `udp://127.0.0.1:9502?topic=${DEFAULT_TOPIC}`,
];

/** Who may send PROXY protocol headers where nobody said it. */
export const DEFAULT_TRUSTED_PROXIES: readonly string[] = ['127.0.0.0/8', '::1'];

/** Top-level keys that the design names and this version does not have. */
export const FUTURE_KEYS: readonly string[] = ['rpc', 'dbsync', 'backup'];

const TIMER_MS_MAX = 2_147_483_647;

const timeMs = (min: number, defaultMs: number, description: string) =>
  z.int().min(min).max(TIMER_MS_MAX).optional().meta({ description, default: defaultMs });

const count = (min: number, max: number, defaultCount: number, description: string) =>
  z.int().min(min).max(max).optional().meta({ description, default: defaultCount });

const bytes = (min: number, description: string, defaultBytes?: number) =>
  z
    .int()
    .min(min)
    .optional()
    .meta(defaultBytes === undefined ? { description } : { description, default: defaultBytes });

const topicName = z.string().regex(TOPIC_NAME_PATTERN).meta({ description: 'A topic name' });
const topicPattern = z
  .string()
  .regex(/^([A-Za-z0-9][A-Za-z0-9._-]{0,127}\*?|\*)$/)
  .meta({ description: 'A topic name, or a pattern with a final *' });
const givenName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)
  .meta({ description: 'A name: 1 to 64 of A-Z a-z 0-9 . _ -' });

// ---------------------------------------------------------------- engine

const engineUrl = z.string().min(1).meta({
  description:
    '`embedded`, `memory`, `redis://…`, `rediss://…`, `redis+sentinel://…/NAME`, `redis+cluster://…`, `env:NAME`',
});
const spool = z
  .strictObject({
    bytesMax: bytes(1 << 20, 'What the spool may hold on this disk, per node', 1 << 30),
    windowMs: timeMs(
      0,
      60_000,
      'How long records that the engine has confirmed are kept, to send them again after a failover that lost them',
    ),
    whenFull: z.enum(['wait', 'refuse']).optional().meta({
      description: 'wait: clients are not read until there is room. refuse: TANDEM_SPOOL_FULL',
      default: 'wait',
    }),
  })
  .optional()
  .meta({ description: 'The local buffer before a server, with `ack: flushed`' });
const engine = z
  .union([
    engineUrl,
    z.strictObject({
      url: engineUrl,
      ack: z.enum(['flushed', 'stored', 'replicated']).optional().meta({
        description:
          'When a record is acknowledged, with a server. flushed: on the medium of this machine, from where it is sent on. stored: the server has it. replicated: its replicas too',
        default: 'flushed',
      }),
      replicas: count(1, 100, 1, 'With `ack: replicated`: how many replicas must have it'),
      replicaTimeoutMs: timeMs(
        1,
        1000,
        'With `ack: replicated`: how long to wait for them; then TANDEM_NOT_REPLICATED. While one is missing, reads of a worker wait as long now and then, so keep it below the 4 s of a consumer group',
      ),
      spool,
    }),
  ])
  .optional()
  .meta({ description: 'Where records are kept', default: 'embedded' });

// ---------------------------------------------------------------- listeners

const tls = z
  .strictObject({
    cert: z.string().min(1).meta({ description: 'PEM file with the certificate chain' }),
    key: z.string().min(1).meta({ description: 'PEM file with the private key' }),
  })
  .meta({ description: 'Serve TLS with this certificate' });

const exposed = z
  .boolean()
  .optional()
  .meta({ description: 'Allow an address other than loopback without auth', default: false });

const address = {
  url: z.string().meta({ description: 'As in the short form' }),
  tls: tls.optional(),
  insecure: exposed,
};
const listenObject = z.strictObject({
  ...address,
  trustedProxies: z.array(z.string().min(1)).optional().meta({
    description: 'With `proxy=on`: addresses and ranges (CIDR) of the load balancers; nobody else may connect',
    default: DEFAULT_TRUSTED_PROXIES,
  }),
});
const adminObject = z.strictObject({
  ...address,
  agentCheck: z.string().min(1).optional().meta({
    description: "Where HAProxy's agent-check is answered: `HOST:PORT`, bound always; left out: nowhere",
  }),
});
const listen = z
  .array(
    z.union([z.string(), listenObject]).meta({
      description:
        '`tcp://…`, `udp://…` or `http://…`, or an object with `url`, `tls`, `insecure`, `trustedProxies`; or a Redis list to take from: `redis-list://HOST/LIST?topic=T`, `env:NAME`',
    }),
  )
  .optional()
  .meta({
    description: 'Where the node takes data in while it is active: addresses, and Redis lists (redis.md)',
    default: DEFAULT_LISTEN,
  });

const admin = z
  .union([z.string(), adminObject])
  .optional()
  .meta({ description: 'Health, metrics and the admin API: an `http://` URL, bound always', default: DEFAULT_ADMIN });

// ---------------------------------------------------------------- processes, topics

const workerCount = z.int().min(1).max(1024).meta({ description: 'How many worker processes; default: one per core' });
const workers = z
  .union([
    workerCount,
    z.strictObject({
      count: workerCount.optional(),
      heartbeatTimeoutMs: timeMs(200, 3000, 'A worker that has not answered for so long is killed and replaced'),
      restartCountMax: count(1, 10_000, 10, 'More restarts of one worker in the window: back off'),
      restartWindowMs: timeMs(1000, 60_000, 'The window of restartCountMax'),
      drainTimeoutMs: timeMs(0, 10_000, 'How long a worker may take to finish what is in hand'),
    }),
  ])
  .optional()
  .meta({ description: 'A number, or an object' });

const topics = z
  .record(
    topicName,
    z
      .strictObject({
        partitions: z.int().min(1).optional().meta({ description: 'May grow, never shrink; default: workers.count' }),
        retentionMs: z
          .int()
          .min(1)
          .nullable()
          .optional()
          .meta({ description: 'Records older than this may be trimmed; null: never', default: null }),
        retentionBytes: z
          .int()
          .min(1)
          .nullable()
          .optional()
          .meta({ description: 'Each partition keeps about so much; null: all', default: null }),
      })
      .nullable(),
  )
  .optional()
  .meta({ description: 'Topics by name. Topics that listeners and consumers name exist without being listed' });

const cluster = z
  .strictObject({
    mode: z.enum(['single', 'active-standby', 'active-active']).optional().meta({
      description:
        'single: this node alone uses the data folder. active-standby: of the nodes that share it one serves, the others stand by to take over. active-active: all serve, one at a time holds the duties of the store',
      default: 'single',
    }),
    heartbeatTimeoutMs: timeMs(
      300,
      1000,
      'An active node that is silent for so long hangs: a standby ends it and takes over',
    ),
    ttlMs: timeMs(1500, 4000, 'With a server as engine: a lease that is not renewed ends after so long'),
    renewMs: timeMs(50, 600, 'With a server as engine: leases are renewed this often'),
    marginMs: timeMs(50, 600, 'With a server as engine: a holder stops so long before its lease could end'),
    minTenureMs: timeMs(0, 1000, 'No switchover in so long after a node became active'),
    takeoversMax: count(
      1,
      1_000_000,
      5,
      'More takeovers in the window, switchovers not counted: standbys wait before the next',
    ),
    takeoverWindowMs: timeMs(1000, 60_000, 'The window of takeoversMax'),
    switchoverTimeoutMs: timeMs(100, 10_000, 'How long a switchover may take before it is given up'),
  })
  .optional()
  .meta({ description: 'How the nodes that share a store go together' });

// ---------------------------------------------------------------- consumers

const retry = z
  .strictObject({
    attemptsMax: count(1, 1_000_000, 5, 'Deliveries of one record, the first included; then it becomes a dead letter'),
    backoffMs: timeMs(0, 100, 'Before the second delivery; doubles each time, with jitter'),
    backoffMsMax: timeMs(0, 30_000, 'The longest wait between deliveries'),
  })
  .optional()
  .meta({ description: 'What happens after a failed delivery' });

const consumers = z
  .record(
    givenName,
    z.strictObject({
      topic: topicName,
      to: z.string().min(1).meta({
        description:
          'A module (`./handlers.ts`), a webhook (`https://…`) or a Redis list to append to (`redis-list://HOST/LIST`, `env:NAME`)',
      }),
      concurrency: count(1, 10_000, 1, 'Records of different keys in hand at once, per partition'),
      retry,
      timeoutMs: timeMs(1, 30_000, 'How long one delivery may take'),
      secret: z
        .string()
        .min(1)
        .optional()
        .meta({ description: 'Signs webhook deliveries (HMAC); `env:NAME` takes it from the environment' }),
      start: z.enum(['start', 'now']).optional().meta({ description: 'Where a new group begins', default: 'start' }),
    }),
  )
  .optional()
  .meta({ description: "Consumers by name, which is also the group's name" });

// ---------------------------------------------------------------- push, auth, limits

const policy = z.enum(['disconnect', 'drop-oldest', 'latest-per-key']).optional();
const queueBytesMax = bytes(1024, 'What one session may have waiting; default: limits.sessionQueueBytesMax');
const push = z
  .strictObject({
    policy: policy.meta({ description: 'What happens to a client that reads too slowly', default: 'disconnect' }),
    queueBytesMax,
    channels: z
      .record(
        topicName,
        z.strictObject({
          policy: policy.meta({ description: 'As push.policy' }),
          queueBytesMax: bytes(1024, 'As push.queueBytesMax'),
        }),
      )
      .optional()
      .meta({ description: 'Other settings for single channels (topics)' }),
  })
  .optional()
  .meta({ description: 'Real-time push to WebSocket and SSE clients' });

const rights = (right: string) =>
  z
    .array(topicPattern)
    .optional()
    .meta({ description: `Topics that it may ${right}`, default: [] });
const auth = z
  .strictObject({
    tokens: z
      .array(
        z.strictObject({
          name: givenName,
          token: z.string().min(1).meta({ description: 'The secret text, or `env:NAME`' }),
          publish: rights('publish to'),
          subscribe: rights('subscribe to and read'),
          consume: rights('consume'),
          admin: z.boolean().optional().meta({ description: 'May use the admin API', default: false }),
        }),
      )
      .optional()
      .meta({ description: 'Bearer tokens; none: everybody may do everything', default: [] }),
    allowedOrigins: z.array(z.string().min(1)).optional().meta({
      description:
        'Origins (`https://app.example`) whose web pages may use the HTTP listeners, besides their own; `*`, only with tokens: any',
      default: [],
    }),
  })
  .optional()
  .meta({ description: 'Who may do what' });

type LimitName = keyof typeof DEFAULT_LIMITS;

const LIMIT_DOCS: { readonly [Name in LimitName]: readonly [min: number, description: string] } = {
  recordBytesMax: [1, "One record's data, key and headers; above: TANDEM_RECORD_TOO_LARGE"],
  requestBytesMax: [1024, 'One HTTP body or WebSocket message; above: TANDEM_BATCH_TOO_LARGE'],
  ingestBytesMax: [1024, 'Bytes received and not yet stored, per worker; above: sockets are not read'],
  connectionsMax: [1, 'Connections per worker; above: TANDEM_CONNECTIONS_LIMIT'],
  idleTimeoutMs: [0, 'A connection that sends nothing for so long is closed; 0: never'],
  headerTimeoutMs: [1, 'From accept to the end of the request head, HELLO or TLS handshake'],
  topicsMax: [1, 'Topics in the data folder; above: TANDEM_TOPIC_LIMIT'],
  topicAutoCreate: [0, 'Creates a topic at its first record; otherwise TANDEM_TOPIC_UNKNOWN'],
  partitionsPerTopicMax: [1, 'The most partitions that a topic may have'],
  subscriptionsPerSessionMax: [1, 'Subscriptions of one session; above: TANDEM_SUBSCRIPTIONS_LIMIT'],
  sessionQueueBytesMax: [1024, 'What one session may have waiting; above: its slow-client policy'],
  producersPerPartitionMax: [1, 'Producers remembered for de-duplication per partition'],
  producerRetentionMs: [1, 'A producer unseen for so long is forgotten'],
};

function limit(name: LimitName) {
  const [min, description] = LIMIT_DOCS[name];
  const fallback = DEFAULT_LIMITS[name];
  const base = typeof fallback === 'boolean' ? z.boolean() : z.int().min(min);
  return (base as z.ZodType<number | boolean>).optional().meta({ description, default: fallback });
}

const limits = z
  .strictObject(Object.fromEntries((Object.keys(DEFAULT_LIMITS) as LimitName[]).map((name) => [name, limit(name)])))
  .optional()
  .meta({ description: 'Overrides of the bounds; the default of each is in the table' });

// ---------------------------------------------------------------- all

export const configSchema = z
  .strictObject({
    name: givenName.optional().meta({ description: "The node's name; default: the host name" }),
    data: z.string().min(1).optional().meta({
      description: "The data folder, relative to the config file's folder (without one: to the current folder)",
      default: DEFAULT_DATA_FOLDER,
    }),
    engine,
    listen,
    admin,
    workers,
    cluster,
    topics,
    consumers,
    push,
    auth,
    limits,
  })
  .meta({ title: 'Tandem configuration' });

export type ConfigInput = z.infer<typeof configSchema>;
export type EngineInput = NonNullable<ConfigInput['engine']>;
export type ListenInput = NonNullable<ConfigInput['listen']>[number];
export type AdminInput = NonNullable<ConfigInput['admin']>;
