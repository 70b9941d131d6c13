/**
 * The one place where browsers and Node differ.
 *
 * Both have a global WebSocket. Node's (undici) can do two things that a browser's cannot, by options of its constructor: send the token as a
 * header, so that it stands in no proxy's log, and name a dispatcher, through which the connection's socket is seen. That is needed because
 * `close()` waits for the peer's close frame without end: a node that hangs would keep the socket, and so the process, for ever.
 */
import { clientError } from './errors.ts';

/** What the node speaks on /ws; offered, so that it tells in it why it refuses (a browser shows no status of a failed handshake). */
const SUBPROTOCOL = 'tandem.v1';
const DISPATCHER = Symbol.for('undici.globalDispatcher.1');

interface UndiciHandler {
  [hook: string]: unknown;
}

interface UndiciDispatcher {
  dispatch(options: unknown, handler: UndiciHandler): boolean;
}

interface RawSocket {
  destroy(): void;
}

export interface OpenedSocket {
  readonly webSocket: WebSocket;
  /** Cuts the connection without waiting for the peer, where that is possible; otherwise begins to close it. */
  destroy(): void;
}

/** Errors: TANDEM_CLIENT_INVALID. */
export function requireWebSocket(): void {
  if (globalThis.WebSocket === undefined)
    throw clientError('TANDEM_CLIENT_INVALID', 'there is no global WebSocket; Node has one since 22');
}

export function openSocket(address: string, token: string | undefined): OpenedSocket {
  const { WebSocket: Constructor } = globalThis;
  // Node sets it when WebSocket is first looked at.
  const dispatcher = (globalThis as { [DISPATCHER]?: UndiciDispatcher })[DISPATCHER];
  return dispatcher === undefined
    ? openInBrowser(Constructor, address, token)
    : openInNode(Constructor, dispatcher, address, token);
}

function openInBrowser(Constructor: typeof WebSocket, address: string, token: string | undefined): OpenedSocket {
  const url = new URL(address);
  if (token !== undefined) url.searchParams.set('token', token);
  const webSocket = new Constructor(url.href, SUBPROTOCOL);
  return { webSocket, destroy: () => webSocket.close() };
}

function openInNode(
  Constructor: typeof WebSocket,
  dispatcher: UndiciDispatcher,
  address: string,
  token: string | undefined,
): OpenedSocket {
  let raw: RawSocket | undefined;
  const init = {
    protocols: SUBPROTOCOL,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    dispatcher: {
      dispatch(options: unknown, handler: UndiciHandler): boolean {
        onUpgrade(handler, (socket) => {
          raw = socket;
        });
        return dispatcher.dispatch(options, handler);
      },
    },
  };
  const webSocket = new Constructor(address, init as unknown as string);
  return {
    webSocket,
    destroy(): void {
      if (raw === undefined) webSocket.close();
      else raw.destroy();
    },
  };
}

/** The hook has one name or the other, by undici's version; the socket is its last argument. */
function onUpgrade(handler: UndiciHandler, take: (socket: RawSocket) => void): void {
  for (const name of ['onUpgrade', 'onRequestUpgrade']) {
    const original = handler[name];
    if (typeof original !== 'function') continue;
    handler[name] = function (this: unknown, ...args: unknown[]): unknown {
      take(args.at(-1) as RawSocket);
      return original.apply(this, args);
    };
  }
}
