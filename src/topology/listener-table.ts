/** Which listener a `listen` entry means, which source: the one place. */
import type { SecureContext } from 'node:tls';
import type {
  HttpListenConfig,
  ListenConfig,
  TandemConfig,
  TcpListenConfig,
  UdpListenConfig,
} from '../config/tandem-config.ts';
import type { Authenticator } from '../core/contracts/auth.ts';
import type { AckLevel, RecordStore, TopicCatalog } from '../core/contracts/engine.ts';
import type { Health } from '../core/contracts/health.ts';
import type { Ingest } from '../core/contracts/ingest.ts';
import type { DatagramListener, SourceListener, StreamListener } from '../core/contracts/listener.ts';
import type { Push } from '../core/contracts/push.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { WorkerSlot } from '../core/contracts/worker.ts';
import { createOriginGuard } from '../core/origin-guard.ts';
import { systemClock as clock } from '../core/ports/clock.ts';
import { systemRandom as random } from '../core/ports/random.ts';
import { connectRedis as connect } from '../core/ports/redis-connection.ts';
import { rawErrorAnswer } from '../listeners/http/answers.ts';
import { createHttpListener } from '../listeners/http/http-listener.ts';
import { createDatagramProxy } from '../listeners/proxy-protocol/datagram-proxy.ts';
import { createProxiedListener, type ProxiedListenerOptions } from '../listeners/proxy-protocol/proxied-listener.ts';
import { createRedisListSource } from '../listeners/redis-list/redis-list-source.ts';
import { frameText, refusalText } from '../listeners/tcp/answers.ts';
import { createTcpListener } from '../listeners/tcp/tcp-listener.ts';
import { createUdpListener } from '../listeners/udp/udp-listener.ts';

/** What listeners are made of. */
export interface ListenerParts {
  readonly config: TandemConfig;
  readonly ingest: Ingest;
  readonly push: Push;
  readonly topics: TopicCatalog;
  readonly store: RecordStore;
  readonly authenticator: Authenticator;
  readonly health: () => Health;
  readonly nodeTerm: number;
  /** Of the engine. */
  readonly ackLevel: AckLevel;
  readonly logger: Logger;
  /** By index in `listen`; undefined: plain. */
  readonly secureContexts: readonly (SecureContext | undefined)[];
}

export type Listener =
  | { readonly kind: 'stream'; readonly listener: StreamListener }
  | { readonly kind: 'datagram'; readonly listener: DatagramListener };

type Secured = { readonly secureContext?: SecureContext };

export function createListener(listen: ListenConfig, index: number, parts: ListenerParts): Listener {
  const context = parts.secureContexts[index];
  const secured: Secured = context === undefined ? {} : { secureContext: context };
  switch (listen.protocol) {
    case 'tcp': {
      const refusal: Refusal = (error) => frameText(refusalText(error), listen.framing);
      return { kind: 'stream', listener: proxied(tcp(listen, secured, parts), listen, refusal, parts) };
    }
    case 'http':
      return { kind: 'stream', listener: proxied(http(listen, secured, parts), listen, rawErrorAnswer, parts) };
    case 'udp':
      return { kind: 'datagram', listener: udp(listen, parts) };
  }
}

type Refusal = NonNullable<ProxiedListenerOptions['refusal']>;

/** With `proxy=on` in its URL behind the PROXY protocol, else as it is. Who expects TLS could not read a refusal. */
function proxied(
  inner: StreamListener,
  { trustedProxies, tls }: TcpListenConfig | HttpListenConfig,
  refusal: Refusal,
  { logger, config: { limits } }: ListenerParts,
): StreamListener {
  if (trustedProxies === null) return inner;
  const answered = tls === null ? { refusal } : {};
  return createProxiedListener({ inner, trustedProxies, limits, clock, logger, ...answered });
}

function tcp({ topic, framing, ack }: TcpListenConfig, secured: Secured, parts: ListenerParts): StreamListener {
  const { ingest, authenticator, logger, nodeTerm, ackLevel, config } = parts;
  const { limits } = config;
  return createTcpListener({
    ...{ topic, framing, ack, ingest, authenticator, limits, logger, nodeTerm, ackLevel },
    ...secured,
  });
}

function udp({ topic, ack, trustedProxies }: UdpListenConfig, parts: ListenerParts): DatagramListener {
  const { ingest, logger, config } = parts;
  const unwrap = trustedProxies === null ? undefined : createDatagramProxy({ trustedProxies, clock, logger });
  return createUdpListener({ topic, ack, ingest, limits: config.limits, logger, unwrap });
}

function http({ host, tls }: HttpListenConfig, secured: Secured, parts: ListenerParts): StreamListener {
  const { ingest, push, topics, store, authenticator, health, nodeTerm, ackLevel, logger, config } = parts;
  const { limits, auth } = config;
  const { isRequired: isAuthRequired, allowedOrigins } = auth;
  const originGuard = createOriginGuard({ host, isTls: tls !== null, isAuthRequired, allowedOrigins });
  const stages = { ingest, push, topics, store, authenticator, originGuard };
  return createHttpListener({ ...stages, health, nodeTerm, ackLevel, logger, limits, clock, ...secured });
}

export interface SourceParts extends ListenerParts {
  readonly slot: WorkerSlot;
  /** Of the engine: one node at a time has slots on a store, whatever the mode. */
  readonly provesDeath: boolean;
}

/** What this worker takes from: workers with a slot do, so that it goes on as long as somebody is active, and nowhere else. */
export function createSources(parts: SourceParts): SourceListener[] {
  const { config, slot, nodeTerm, ingest, store, logger, provesDeath } = parts;
  if (slot.isFront) return [];
  return config.sources
    .filter(({ takers }) => slot.slot < takers)
    .map(({ place: { url, endpoint, list }, topic, from }) =>
      createRedisListSource({
        taker: `${config.name}/${slot.slot}`,
        slotTerm: slot.slotTerm,
        isOnlyActive: provesDeath || config.cluster.mode === 'active-standby',
        recordBytesMax: config.limits.recordBytesMax,
        ...{ url, endpoint, list, from, topic, nodeTerm, ingest, store, connect, clock, random, logger },
      }),
    );
}
