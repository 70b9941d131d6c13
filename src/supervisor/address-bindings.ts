/**
 * The addresses of `listen`, held by the keeper as long as the node is active: they outlive every worker, so a restart refuses nobody and
 * loses no datagram that the kernel has queued. TCP connections are accepted here, paused; datagrams are never read here.
 * Port 0 is bound once and keeps its port over reloads.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { TandemError } from '../core/errors.ts';
import type { ListenAddress } from './plan.ts';

const BACKLOG = 4096;
const KEEP_ALIVE_MS = 60_000;

export interface Binding {
  readonly key: string;
  readonly address: ListenAddress;
  /** The real port. */
  readonly port: number;
  /** Present for datagrams. */
  readonly datagrams?: DatagramSocket;
  readonly server?: Server;
}

/** Names the address over reloads: transport, host, port and, for repeated entries (port 0), which one. In the order of `listen`. */
export function addressKeys(listen: readonly ListenAddress[]): string[] {
  const seen = new Map<string, number>();
  return listen.map(({ transport, host, port }) => {
    const base = `${transport} ${host} ${port}`;
    const nth = (seen.get(base) ?? 0) + 1;
    seen.set(base, nth);
    return `${base} ${nth}`;
  });
}

export class AddressBindings {
  readonly #bound = new Map<string, Binding>();
  readonly #onConnection: (addressKey: string, socket: Socket) => void;

  constructor(onConnection: (addressKey: string, socket: Socket) => void) {
    this.#onConnection = onConnection;
  }

  get all(): readonly Binding[] {
    return [...this.#bound.values()];
  }

  /**
   * Binds what is not bound yet; all or nothing. Returns the keys that are new.
   * Errors: TANDEM_LISTEN_FAILED naming every address that could not be bound.
   */
  async add(listen: readonly ListenAddress[]): Promise<string[]> {
    const keys = addressKeys(listen);
    const wanted = listen.flatMap((address, i) => {
      const key = keys[i] as string;
      return this.#bound.has(key) ? [] : [{ key, address }];
    });
    const results = await Promise.allSettled(wanted.map(({ key, address }) => this.#bind(key, address)));
    const bound = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const problems = results.flatMap((result, i) =>
      result.status === 'rejected'
        ? [bindProblem((wanted[i] as { address: ListenAddress }).address.url, result.reason)]
        : [],
    );
    if (problems.length > 0) {
      for (const binding of bound) close(binding);
      throw new TandemError('TANDEM_LISTEN_FAILED', { detail: problems.join('; '), data: { problems } });
    }
    for (const binding of bound) this.#bound.set(binding.key, binding);
    return bound.map(({ key }) => key);
  }

  remove(keys: Iterable<string>): void {
    for (const key of keys) {
      const binding = this.#bound.get(key);
      if (binding === undefined) continue;
      this.#bound.delete(key);
      close(binding);
    }
  }

  closeAll(): void {
    this.remove([...this.#bound.keys()]);
  }

  #bind(key: string, address: ListenAddress): Promise<Binding> {
    return address.transport === 'stream' ? this.#bindStream(key, address) : bindDatagram(key, address);
  }

  async #bindStream(key: string, address: ListenAddress): Promise<Binding> {
    const server = createServer({
      pauseOnConnect: true,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    server.on('connection', (socket) => {
      // Nobody reads it here; a reset shows when its worker does.
      socket.on('error', () => {});
      this.#onConnection(key, socket);
    });
    server.listen({ host: address.host, port: address.port, backlog: BACKLOG });
    await once(server, 'listening');
    // An accept that fails (no descriptors left) must not end the keeper.
    server.on('error', () => {});
    return { key, address, server, port: (server.address() as { port: number }).port };
  }
}

async function bindDatagram(key: string, address: ListenAddress): Promise<Binding> {
  const socket = createSocket(isIPv6(address.host) ? 'udp6' : 'udp4');
  try {
    socket.bind({ port: address.port, address: address.host });
    await once(socket, 'listening');
  } catch (error) {
    socket.close();
    throw error;
  }
  stopReading(socket);
  socket.on('error', () => {});
  return { key, address, datagrams: socket, port: socket.address().port };
}

interface DatagramState {
  readonly handle: { recvStop(): void };
  receiving: boolean;
}

/**
 * Node has no public way to bind a datagram socket without reading it, and what the keeper reads, no worker gets. This is what Node's
 * own `_stopReceiving` (deprecated) does.
 */
function stopReading(socket: DatagramSocket): void {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol');
  const state = symbol && (socket as unknown as { [key: symbol]: DatagramState | undefined })[symbol];
  if (state === undefined)
    throw new TandemError('TANDEM_LISTEN_FAILED', { detail: 'this version of Node cannot share datagram sockets' });
  state.handle.recvStop();
  state.receiving = false;
}

function close({ server, datagrams }: Binding): void {
  server?.close();
  datagrams?.close();
}

/** Why an address could not be bound, for people. */
export function bindProblem(url: string, reason: unknown): string {
  const code = (reason as { code?: string }).code;
  const text = code === undefined ? undefined : BIND_PROBLEMS[code];
  return `${url}: ${text ?? (reason instanceof Error ? reason.message : String(reason))}`;
}

const BIND_PROBLEMS: { readonly [code: string]: string } = {
  EADDRINUSE: 'the port is in use (see which process with "ss -lptun")',
  EACCES: 'no permission to use the port (ports below 1024 need CAP_NET_BIND_SERVICE)',
  EADDRNOTAVAIL: 'this machine does not have the address',
  ENOTFOUND: 'the host name is not known',
};
