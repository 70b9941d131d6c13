/** What a TCP listener is made of. */
import type { SecureContext } from 'node:tls';
import type { Authenticator } from '../../core/contracts/auth.ts';
import type { AckLevel } from '../../core/contracts/engine.ts';
import type { Ingest } from '../../core/contracts/ingest.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import type { Limits } from '../../core/limits.ts';
import type { Framing } from './answers.ts';

export interface TcpListenerOptions {
  readonly topic: string;
  readonly framing: Framing;
  /** `none`: records are stored all the same, but nothing is answered. */
  readonly ack: 'offset' | 'none';
  readonly ingest: Ingest;
  readonly authenticator: Authenticator;
  readonly limits: Limits;
  readonly logger: Logger;
  /** The node's term, told in the answer to HELLO. */
  readonly nodeTerm: number;
  /** What an acknowledged record has reached; told there too. */
  readonly ackLevel: AckLevel;
  /** Present: TLS. */
  readonly secureContext?: SecureContext;
}
