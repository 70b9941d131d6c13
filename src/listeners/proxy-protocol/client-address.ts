/** The client's address in the place of the load balancer's: what a socket calls its remote address. */
import type { Socket } from 'node:net';
import type { Endpoint } from './proxy-header.ts';

export function nameClient(socket: Socket, { address, family, port }: Endpoint): void {
  Object.defineProperties(socket, {
    remoteAddress: { value: address },
    remoteFamily: { value: family },
    remotePort: { value: port },
  });
}

/** The same for the socket that TLS puts around `raw`. Nothing where `raw` has its own address. */
export function inheritClient(raw: Socket, secure: Socket): void {
  if (!Object.hasOwn(raw, 'remoteAddress')) return;
  const { remoteAddress: address, remoteFamily: family, remotePort: port } = raw;
  nameClient(secure, { address, family, port } as Endpoint);
}
