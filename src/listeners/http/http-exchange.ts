/** One HTTP request and its answer, and what all of them share. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator, Identity } from '../../core/contracts/auth.ts';
import type { RecordStore, TopicCatalog } from '../../core/contracts/engine.ts';
import type { Health } from '../../core/contracts/health.ts';
import type { Ingest } from '../../core/contracts/ingest.ts';
import type { Push } from '../../core/contracts/push.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { Limits } from '../../core/limits.ts';
import type { OriginGuard } from '../../core/origin-guard.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { SseEncoder } from './sse-encoder.ts';
import type { SseStreams } from './sse-streams.ts';

/** What routes work with. */
export interface HttpHub {
  readonly ingest: Ingest;
  readonly topics: TopicCatalog;
  readonly store: RecordStore;
  readonly push: Push;
  readonly authenticator: Authenticator;
  readonly originGuard: OriginGuard;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly health: () => Health;
  /** Half-received bodies. */
  readonly budget: ByteBudget;
  readonly streams: SseStreams;
  readonly sseEncoder: SseEncoder;
  /** `"term"` and `"ack"`, as members of a JSON object: answers to publishes carry them. */
  readonly nodeMembers: string;
  readonly isDraining: boolean;
}

export interface HttpExchange {
  readonly hub: HttpHub;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly identity: Identity;
  /** The `:topic` of the path, decoded; '' where the path has none. */
  readonly topic: string;
  readonly query: URLSearchParams;
  /** The connection's number: its records keep their order. */
  readonly affinity: number;
  /** The client waits for "100 Continue" before it sends the body. */
  readonly awaitsContinue: boolean;
}

export type RouteHandler = (exchange: HttpExchange) => Promise<void> | void;
