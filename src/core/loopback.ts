/** Addresses that only this machine reaches. */
import { isIP } from 'node:net';

/** A host name or IP address without brackets and port. Names that DNS could give any address are none, `localhost` excepted. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
