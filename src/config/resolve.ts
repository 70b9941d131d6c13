/**
 * From what was written to what the node runs with: fills in defaults, reads URLs and `env:` references, checks what the schema
 * cannot (rules between keys, addresses, files). Collects every problem; the result is only meaningful without any.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { resolve } from 'node:path';
import type { TopicInfo } from '../core/contracts/engine.ts';
import { TandemError } from '../core/errors.ts';
import { assertLimits, DEFAULT_LIMITS, type Limits } from '../core/limits.ts';
import { isLoopback } from '../core/loopback.ts';
import { readAdmin, readListener } from './listen-url.ts';
import { type ConfigProblem, type Locate, shown } from './problems.ts';
import { type Resolution, resolveSecret } from './resolution.ts';
import { resolveConsumers } from './resolve-consumers.ts';
import { isMemoryEngine, resolveEngine } from './resolve-engine.ts';
import { isSource, resolveSources } from './resolve-sources.ts';
import {
  type AdminInput,
  type ConfigInput,
  DEFAULT_ADMIN,
  DEFAULT_DATA_FOLDER,
  DEFAULT_LISTEN,
  DEFAULT_TOPIC,
} from './schema.ts';
import { type ConfigPath, pathText } from './schema-tree.ts';
import type {
  AdminConfig,
  AuthConfig,
  ClusterConfig,
  ListenConfig,
  PushConfig,
  TandemConfig,
  TlsConfig,
  WorkersConfig,
} from './tandem-config.ts';

export function resolveConfig(
  input: ConfigInput,
  context: Omit<Resolution, 'problem'>,
  locate: Locate,
  problems: ConfigProblem[],
): TandemConfig {
  const resolution: Resolution = {
    ...context,
    problem: (path, problem) => problems.push({ path: pathText(path), ...locate(path), ...problem }),
  };
  const auth = resolveAuth(input, resolution);
  const listen = resolveListen(input, auth, resolution);
  const sources = resolveSources(input.listen ?? DEFAULT_LISTEN, resolution);
  const admin = resolveAdmin(input, auth, listen, resolution);
  const limits = resolveLimits(input, resolution);
  const workers = resolveWorkers(input, resolution);
  const consumers = resolveConsumers(input.consumers ?? {}, resolution);
  const topicDefaults = { partitions: workers.count, retentionMs: null, retentionBytes: null };
  const named = [
    ...listen.flatMap((each) => (each.protocol === 'http' ? [] : [each.topic])),
    ...sources.map((each) => each.topic),
    ...consumers.map((each) => each.topic),
  ];
  return {
    name: input.name ?? nodeName(),
    dataFolder: resolve(resolution.folder, input.data ?? DEFAULT_DATA_FOLDER),
    engine: resolveEngine(input.engine ?? 'embedded', resolution),
    listen,
    sources,
    admin,
    workers,
    cluster: resolveCluster(input, resolution),
    topics: resolveTopics(input, named, topicDefaults, limits, resolution),
    fixedTopics: Object.entries(input.topics ?? {}).flatMap(([name, given]) =>
      given?.partitions === undefined ? [] : [name],
    ),
    topicDefaults,
    consumers,
    push: resolvePush(input, limits),
    auth,
    limits,
    configPath: context.configPath,
  };
}

const nodeName = (): string =>
  hostname()
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64) || 'node';

// ---------------------------------------------------------------- addresses

function resolveListen(input: ConfigInput, auth: AuthConfig, resolution: Resolution): ListenConfig[] {
  const listen: ListenConfig[] = [];
  const places = new Map<string, number>();
  for (const [index, each] of (input.listen ?? DEFAULT_LISTEN).entries()) {
    if (isSource(each)) continue;
    const path = ['listen', index];
    const read = readListener(each, resolution.folder, (problem, accepted) =>
      resolution.problem(path, { problem, accepted }),
    );
    if (read === undefined) continue;
    const { config, isInsecure } = read;
    checkExposure(path, config, isInsecure, auth, resolution);
    if (config.protocol !== 'udp') checkTls(path, config.tls, resolution);
    const place = placeOf(config);
    const earlier = places.get(place);
    if (config.port !== 0 && earlier !== undefined)
      resolution.problem(path, { problem: `has the address of listen[${earlier}]`, accepted: 'an address of its own' });
    places.set(place, index);
    listen.push(config);
  }
  return listen;
}

function resolveAdmin(
  input: ConfigInput,
  auth: AuthConfig,
  listen: readonly ListenConfig[],
  resolution: Resolution,
): AdminConfig {
  const path = ['admin'];
  const given: AdminInput = input.admin ?? DEFAULT_ADMIN;
  const read = readAdmin(given, resolution.folder, (problem, accepted) =>
    resolution.problem(path, { problem, accepted }),
  );
  if (read === undefined)
    return { url: DEFAULT_ADMIN, host: '127.0.0.1', port: 0, tls: null, agentCheck: null, isDefault: true };
  checkExposure(path, read.config, read.isInsecure, auth, resolution);
  checkTls(path, read.config.tls, resolution);
  checkPlaces(path, read.config, listen, resolution);
  return { ...read.config, isDefault: input.admin === undefined };
}

/** Nothing that listens on TCP has another's address. */
function checkPlaces(
  path: ConfigPath,
  { host, port, agentCheck }: Omit<AdminConfig, 'isDefault'>,
  listen: readonly ListenConfig[],
  { problem }: Resolution,
): void {
  const admin = { protocol: 'http', host, port } as const;
  const agent = agentCheck && ({ protocol: 'tcp', ...agentCheck } as const);
  for (const [name, each] of [
    ['', admin],
    ['an agentCheck at ', agent],
  ] as const) {
    if (each === null || each.port === 0) continue;
    const twin = listen.findIndex((other) => placeOf(other) === placeOf(each));
    if (twin >= 0)
      problem(path, { problem: `has ${name}the address of listen[${twin}]`, accepted: 'an address of its own' });
  }
  if (agent !== null && agent.port !== 0 && placeOf(agent) === placeOf(admin))
    problem(path, { problem: 'has an agentCheck at its own address', accepted: 'a port of its own for agentCheck' });
}

const placeOf = ({ protocol, host, port }: Pick<ListenConfig, 'protocol' | 'host' | 'port'>): string =>
  `${protocol === 'udp' ? 'udp' : 'tcp'} ${host === 'localhost' ? '127.0.0.1' : host} ${port}`;

/** On loopback, with tokens, or because it was said. UDP carries no token, so tokens do not protect it. */
function checkExposure(
  path: ConfigPath,
  {
    host,
    url,
    protocol,
  }: { readonly host: string; readonly url: string; readonly protocol?: ListenConfig['protocol'] },
  isInsecure: boolean,
  auth: AuthConfig,
  { problem }: Resolution,
): void {
  const isUdp = protocol === 'udp';
  if (isLoopback(host) || isInsecure || (auth.isRequired && !isUdp)) return;
  const ways = [
    ...(isUdp ? [] : ['auth.tokens in the config']),
    'a loopback address',
    `{ url: "${url}", insecure: true }`,
  ];
  problem(path, {
    code: 'TANDEM_EXPOSED_WITHOUT_AUTH',
    problem: `can be reached from other machines (${host}) and ${isUdp ? 'UDP carries no token' : 'nobody needs a token'}`,
    accepted: ways.join(', or '),
  });
}

function checkTls(path: ConfigPath, tls: TlsConfig | null, { problem }: Resolution): void {
  if (tls === null) return;
  for (const file of [tls.certPath, tls.keyPath]) {
    try {
      readFileSync(file);
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? String(error);
      problem(path, { problem: `names a file that cannot be read: ${file} (${reason})`, accepted: 'a PEM file' });
    }
  }
}

// ---------------------------------------------------------------- processes, limits, topics

function resolveWorkers(input: ConfigInput, { problem }: Resolution): WorkersConfig {
  const given = typeof input.workers === 'number' ? { count: input.workers } : (input.workers ?? {});
  const isMemory = isMemoryEngine(input.engine);
  if (isMemory && (given.count ?? 1) > 1)
    problem(['workers', 'count'], {
      problem: 'is more than 1, but engine "memory" lives in one process',
      accepted: '1',
    });
  return {
    count: given.count ?? (isMemory ? 1 : availableParallelism()),
    heartbeatTimeoutMs: given.heartbeatTimeoutMs ?? 3000,
    restartCountMax: given.restartCountMax ?? 10,
    restartWindowMs: given.restartWindowMs ?? 60_000,
    drainTimeoutMs: given.drainTimeoutMs ?? 10_000,
  };
}

function resolveCluster({ cluster, engine }: ConfigInput, { problem }: Resolution): ClusterConfig {
  const mode = cluster?.mode ?? 'single';
  if (mode !== 'single' && isMemoryEngine(engine))
    problem(['cluster', 'mode'], {
      problem: `is ${mode}, but engine "memory" shares nothing with other nodes`,
      accepted: 'single',
    });
  return {
    mode,
    heartbeatTimeoutMs: cluster?.heartbeatTimeoutMs ?? 1000,
    ttlMs: cluster?.ttlMs ?? 4000,
    renewMs: cluster?.renewMs ?? 600,
    marginMs: cluster?.marginMs ?? 600,
    minTenureMs: cluster?.minTenureMs ?? 1000,
    takeoversMax: cluster?.takeoversMax ?? 5,
    takeoverWindowMs: cluster?.takeoverWindowMs ?? 60_000,
    switchoverTimeoutMs: cluster?.switchoverTimeoutMs ?? 10_000,
  };
}

function resolveLimits(input: ConfigInput, { problem }: Resolution): Limits {
  const given = Object.fromEntries(Object.entries(input.limits ?? {}).filter(([, value]) => value !== undefined));
  const limits = { ...DEFAULT_LIMITS, ...given } as Limits;
  try {
    assertLimits(limits);
  } catch (error) {
    if (!(error instanceof TandemError)) throw error;
    // The message is "the configuration is not valid: limits.a must …; limits.b must …".
    for (const text of error.message.replace(/^[^:]*: /, '').split('; ')) {
      const [path = 'limits', ...words] = text.split(' ');
      problem(path.split('.'), { problem: words.join(' ') });
    }
  }
  return limits;
}

function resolveTopics(
  input: ConfigInput,
  named: readonly string[],
  defaults: Omit<TopicInfo, 'name'>,
  limits: Limits,
  { problem }: Resolution,
): TopicInfo[] {
  const topics = new Map<string, TopicInfo>();
  for (const [name, given] of Object.entries(input.topics ?? { [DEFAULT_TOPIC]: null })) {
    const partitions = given?.partitions ?? defaults.partitions;
    if (partitions > limits.partitionsPerTopicMax)
      problem(['topics', name, 'partitions'], {
        problem: `is more than limits.partitionsPerTopicMax: ${partitions}`,
        accepted: `at most ${limits.partitionsPerTopicMax}`,
      });
    topics.set(name, {
      name,
      partitions,
      retentionMs: given?.retentionMs ?? null,
      retentionBytes: given?.retentionBytes ?? null,
    });
  }
  for (const name of named) if (!topics.has(name)) topics.set(name, { name, ...defaults });
  if (topics.size > limits.topicsMax)
    problem(['topics'], { problem: `are ${topics.size}`, accepted: `at most limits.topicsMax: ${limits.topicsMax}` });
  return [...topics.values()];
}

function resolvePush(input: ConfigInput, limits: Limits): PushConfig {
  const policy = input.push?.policy ?? 'disconnect';
  const queueBytesMax = input.push?.queueBytesMax ?? limits.sessionQueueBytesMax;
  const channels = Object.entries(input.push?.channels ?? {}).map(([channel, given]) => [
    channel,
    { policy: given.policy ?? policy, queueBytesMax: given.queueBytesMax ?? queueBytesMax },
  ]);
  return { policy, queueBytesMax, channels: Object.fromEntries(channels) };
}

// ---------------------------------------------------------------- secrets

function resolveAuth(input: ConfigInput, resolution: Resolution): AuthConfig {
  const names = new Set<string>();
  const secrets = new Map<string, number>();
  const tokens = (input.auth?.tokens ?? []).map((given, index) => {
    const path = ['auth', 'tokens', index];
    const token = resolveSecret([...path, 'token'], given.token, resolution);
    const earlier = secrets.get(token);
    if (names.has(given.name))
      resolution.problem([...path, 'name'], { problem: `is taken: "${given.name}"`, accepted: 'a name of its own' });
    if (earlier !== undefined && token !== '')
      resolution.problem([...path, 'token'], {
        problem: `is the same as auth.tokens[${earlier}].token`,
        accepted: 'a token of its own',
      });
    names.add(given.name);
    secrets.set(token, index);
    const { publish = [], subscribe = [], consume = [], admin = false } = given;
    return { name: given.name, token, publish, subscribe, consume, admin };
  });
  const isRequired = tokens.length > 0;
  return { isRequired, tokens, allowedOrigins: resolveOrigins(input, isRequired, resolution) };
}

function resolveOrigins(input: ConfigInput, isAuthRequired: boolean, { problem }: Resolution): string[] {
  return (input.auth?.allowedOrigins ?? []).map((text, index) => {
    const path = ['auth', 'allowedOrigins', index];
    const origin = text === '*' ? text : originOf(text);
    if (origin === undefined)
      problem(path, { problem: `is not an origin: ${shown(text)}`, accepted: 'SCHEME://HOST or SCHEME://HOST:PORT' });
    if (origin === '*' && !isAuthRequired)
      problem(path, {
        problem: 'is "*", so every web page could use a node that needs no token',
        accepted: 'the origins of your pages, or auth.tokens beside it',
      });
    return origin ?? text;
  });
}

/** As browsers send it: lower case, no default port, no path. undefined: it is none. */
function originOf(text: string): string | undefined {
  const origin = text.toLowerCase().replace(/\/$/, '');
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*]+$/.test(origin) || !URL.canParse(origin)) return undefined;
  const parsed = new URL(origin).origin;
  // Schemes of apps (capacitor://localhost) have no origin of their own in the URL standard.
  return parsed === 'null' ? origin : parsed;
}
