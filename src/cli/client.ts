/**
 * How `publish` and `tail` reach the nodes: through tandem-client, which goes to the next address by itself and sends again what was not
 * acknowledged. A command must not wait for a server that is not there: it fails when no address has answered at first, and when none has for
 * OUTAGE_MS later.
 */
import type { TandemClient, TandemClientError } from 'tandem-client';
import { TandemError } from '../core/errors.ts';
import { refusalOf, type ServerOptions, urlsOf } from './server.ts';

/** With several addresses a takeover may be under way when the command begins. */
const FIRST_ANSWER_MS = 3000;
const OUTAGE_MS = 30_000;

export interface ClientUse {
  readonly producer?: string | undefined;
  /** Records under way. */
  readonly inFlightMax?: number;
}

/** Runs the command with a client, which is closed after it. Errors: TANDEM_SERVER_UNREACHABLE, TANDEM_CONFIG_INVALID and what the server says. */
export async function withClient<T>(
  server: ServerOptions,
  { producer, inFlightMax }: ClientUse,
  run: (client: TandemClient) => Promise<T>,
): Promise<T> {
  // Here: it is half of what a command has in memory, and a node begins as one.
  const { connect, TandemClientError } = await import('tandem-client');
  const addresses = urlsOf(server).map(webSocketUrl);
  const startedMs = performance.now();
  const patienceMs = addresses.length > 1 ? FIRST_ANSWER_MS : 0;
  let unanswered = true;
  let failure: TandemClientError | undefined;
  const client = connect({
    ...{ addresses, token: server.token, producer, inFlightMax },
    // Backpressure is the command's: it sends no more than it may wait for.
    queueMax: Number.POSITIVE_INFINITY,
    queueBytesMax: Number.POSITIVE_INFINITY,
    deadlineMs: Number.POSITIVE_INFINITY,
    unreachableMs: OUTAGE_MS,
    onState(state) {
      if (state.state === 'connected') unanswered = false;
      if (state.state !== 'waiting' || !unanswered || performance.now() - startedMs < patienceMs) return;
      failure = state.error;
      void client.close({ flush: false });
    },
  });
  try {
    const result = await run(client);
    // A subscription ends with its client, without an error.
    if (failure !== undefined) throw failure;
    return result;
  } catch (thrown) {
    const error = failure ?? thrown;
    throw error instanceof TandemClientError ? errorOf(error) : error;
  } finally {
    await client.close({ flush: false });
  }
}

function webSocketUrl(url: string): string {
  if (!URL.canParse('/ws', url)) throw new TandemError('TANDEM_CONFIG_INVALID', { detail: `${url} is not a URL` });
  return new URL('/ws', url).href;
}

/** What only the client says has no code of the server's. */
function errorOf({ code, message, data }: TandemClientError): TandemError {
  switch (code) {
    case 'TANDEM_CLIENT_INVALID':
      return new TandemError('TANDEM_CONFIG_INVALID', { detail: message });
    case 'TANDEM_CLIENT_TIMEOUT':
    case 'TANDEM_CLIENT_STALE':
      return new TandemError('TANDEM_SERVER_UNREACHABLE', { detail: message });
    case 'TANDEM_SERVER_UNREACHABLE':
      return new TandemError(code, { detail: message.replace(/^no server answers: /, '') });
    default:
      return refusalOf(data === undefined ? { code, message } : { code, message, data });
  }
}
