/** Why a server cannot be used, among the parts of the connections: never leaves them. */
import type { ErrorCode } from '../../../core/errors.ts';
import { RedisReplyError } from './redis-servers.ts';

export class UnusableServer extends Error {
  /** For the log: of the server's answer, of the system, or of Tandem. */
  readonly code: string;
  /** What calls are rejected with at once, if waiting will not help. */
  readonly refusal: ErrorCode | undefined;

  constructor(reason: string, { code = 'TANDEM_STORE_UNREACHABLE', refusal }: UnusableOptions = {}) {
    super(reason);
    this.name = 'UnusableServer';
    this.code = code;
    this.refusal = refusal;
  }
}

interface UnusableOptions {
  readonly code?: string;
  readonly refusal?: ErrorCode | undefined;
}

/** The server did not execute the call. */
export const NOT_EXECUTED: ReadonlySet<string> = new Set([
  'READONLY',
  'LOADING',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'MOVED',
  'ASK',
  'TRYAGAIN',
  'BUSY',
  'NOREPLICAS',
]);

/** As many connections as it may have: that passes. */
const FULL = /max number of clients/;

/** What a server's error answer to the login or the first questions means. */
export function refusedBy(answer: RedisReplyError): UnusableServer {
  const mayPass = NOT_EXECUTED.has(answer.code) || FULL.test(answer.message);
  return new UnusableServer(`refuses: ${answer.message}`, {
    code: answer.code,
    refusal: mayPass ? undefined : 'TANDEM_STORE_UNREACHABLE',
  });
}

/** It is not what the config says. */
export const wrongServer = (reason: string): UnusableServer =>
  new UnusableServer(reason, { code: 'TANDEM_CONFIG_INVALID', refusal: 'TANDEM_CONFIG_INVALID' });

export const asUnusable = (error: unknown): UnusableServer => {
  if (error instanceof UnusableServer) return error;
  if (error instanceof RedisReplyError) return refusedBy(error);
  return new UnusableServer(error instanceof Error ? error.message : String(error));
};
