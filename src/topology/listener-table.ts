/** Which listener a `listen` entry means: the one place. */
import type { SecureContext } from 'node:tls';
import type {
  HttpListenConfig,
  ListenConfig,
  TandemConfig,
  TcpListenConfig,
  UdpListenConfig,
} from '../config/tandem-config.ts';
import type { Authenticator } from '../core/contracts/auth.ts';
import type { RecordStore, TopicCatalog } from '../core/contracts/engine.ts';
import type { Health } from '../core/contracts/health.ts';
import type { Ingest } from '../core/contracts/ingest.ts';
import type { DatagramListener, StreamListener } from '../core/contracts/listener.ts';
import type { Push } from '../core/contracts/push.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import { createOriginGuard } from '../core/origin-guard.ts';
import { systemClock as clock } from '../core/ports/clock.ts';
import { createHttpListener } from '../listeners/http/http-listener.ts';
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
    case 'tcp':
      return { kind: 'stream', listener: tcp(listen, secured, parts) };
    case 'http':
      return { kind: 'stream', listener: http(listen, secured, parts) };
    case 'udp':
      return { kind: 'datagram', listener: udp(listen, parts) };
  }
}

function tcp({ topic, framing, ack }: TcpListenConfig, secured: Secured, parts: ListenerParts): StreamListener {
  const { ingest, authenticator, logger, nodeTerm, config } = parts;
  const { limits } = config;
  return createTcpListener({ topic, framing, ack, ingest, authenticator, limits, logger, nodeTerm, ...secured });
}

function udp({ topic, ack }: UdpListenConfig, { ingest, logger, config }: ListenerParts): DatagramListener {
  return createUdpListener({ topic, ack, ingest, limits: config.limits, logger });
}

function http({ host, tls }: HttpListenConfig, secured: Secured, parts: ListenerParts): StreamListener {
  const { ingest, push, topics, store, authenticator, health, logger, config } = parts;
  const { limits, auth } = config;
  const { isRequired: isAuthRequired, allowedOrigins } = auth;
  const originGuard = createOriginGuard({ host, isTls: tls !== null, isAuthRequired, allowedOrigins });
  const stages = { ingest, push, topics, store, authenticator, originGuard };
  return createHttpListener({ ...stages, health, logger, limits, clock, ...secured });
}
