/**
 * Datagrams that come through a load balancer (`proxy=on`): each has its own header (proxy-protocol.txt, section 2, "For UDP"), which is taken
 * off here. Answers go to where the datagram came from, which is the load balancer: it knows its client.
 *
 * Datagrams that are not from `trustedProxies`, or have no valid header, are dropped, counted and logged at a bounded rate, never answered:
 * the sender of a datagram can be forged. Version 1 is taken too, since NGINX writes nothing else (with `proxy_requests 1`, or only the first
 * datagram of a client would have it).
 */
import type { RemoteInfo } from 'node:dgram';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { asTandemError, type TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import { malformed, readProxyHeader } from './proxy-header.ts';
import { RefusalLog } from './refusal-log.ts';
import { trustedSources } from './trusted-sources.ts';

export interface DatagramProxyOptions {
  /** Addresses and CIDR ranges. */
  readonly trustedProxies: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The client's part of a datagram; undefined: it is refused, and all is said. */
export type Unwrap = (datagram: Buffer, from: RemoteInfo) => Buffer | undefined;

export function createDatagramProxy({ trustedProxies, clock, logger }: DatagramProxyOptions): Unwrap {
  const isTrusted = trustedSources(trustedProxies);
  const refusals = new RefusalLog(logger, clock);
  return (datagram, { address }) => {
    const payload = isTrusted(address) ? payloadOf(datagram) : malformed(`${address} is not in trustedProxies`);
    if (Buffer.isBuffer(payload)) return payload;
    refusals.note(payload, address);
    return undefined;
  };
}

function payloadOf(datagram: Buffer): Buffer | TandemError {
  try {
    const header = readProxyHeader(datagram);
    return header === undefined ? malformed('the datagram ends inside it') : datagram.subarray(header.length);
  } catch (thrown) {
    return asTandemError(thrown);
  }
}
